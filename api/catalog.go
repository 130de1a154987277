package api

import "sync/atomic"

// catalog knows the names of the engine's models, so that a request for one that isn't there is refused before
// its body is read, and so that metrics never take a label that a client made up.
type catalog struct {
	engine Engine
	names  atomic.Pointer[map[string]bool]
}

// has says whether there is such a model. A name that is not known is looked up in the engine, since it may be
// new; one that has gone is refused by the engine itself.
func (c *catalog) has(name string) bool {
	if known := c.names.Load(); known != nil && (*known)[name] {
		return true
	}
	names := c.refresh()
	return names[name]
}

func (c *catalog) refresh() map[string]bool {
	list := c.engine.Models()
	names := make(map[string]bool, len(list))
	for _, m := range list {
		names[m.Name] = true
	}
	c.names.Store(&names)
	return names
}
