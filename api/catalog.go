package api

import "sync/atomic"

// catalog caches the names of the engine's models, so that a request for an unknown model is refused before its body is read,
// and metrics get no labels that clients have made up.
type catalog struct {
	engine Engine
	names  atomic.Pointer[map[string]bool]
}

// has reports whether a model exists. An unknown name is looked up in the engine, since it may be new; the engine itself
// refuses a model that has been unloaded.
func (c *catalog) has(name string) bool {
	if known := c.names.Load(); known != nil && (*known)[name] {
		return true
	}
	names := map[string]bool{}
	for _, m := range c.engine.Models() {
		names[m.Name] = true
	}
	c.names.Store(&names)
	return names[name]
}
