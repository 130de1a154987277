package access

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"fovea/internal/apierror"
	"fovea/internal/apikey"
	"fovea/internal/repository"
)

// Caller is what a request says about its sender: headers of HTTP, or metadata of gRPC with the same names.
type Caller struct {
	Remote        string   // host:port of the connection
	Authorization []string // Authorization
	APIKey        []string // X-API-Key
	Forwarded     []string // X-Forwarded-For
	Models        []string // X-Fovea-Models
}

// ModelsHeader has the models that a client may use, as a gateway says that has checked its key and cannot see which models the client's
// messages name. A server without API keys keeps to it. It can only restrict a client, so that it need not be trusted.
const ModelsHeader = "X-Fovea-Models"

// CallerOf returns the sender of an HTTP request.
func CallerOf(r *http.Request) Caller {
	return Caller{r.RemoteAddr, r.Header["Authorization"], r.Header["X-Api-Key"], r.Header["X-Forwarded-For"], r.Header[ModelsHeader]}
}

// maxHops bounds how many addresses of X-Forwarded-For are looked at.
const maxHops = 32

// address is the sender's address. X-Forwarded-For counts as far as trusted proxies have written it: each appends the address
// that it was called from, so that the last one that is no proxy's is the client's.
func (c Caller) address(trusted []netip.Prefix) netip.Addr {
	at := netip.Addr{}
	if remote, err := netip.ParseAddrPort(c.Remote); err == nil {
		at = remote.Addr().Unmap().WithZone("")
	}
	if len(trusted) == 0 || !contains(trusted, at) {
		return at
	}
	rest := strings.Join(c.Forwarded, ",")
	for hops := 0; hops < maxHops && rest != ""; hops++ {
		last := rest
		if i := strings.LastIndexByte(rest, ','); i >= 0 {
			rest, last = rest[:i], rest[i+1:]
		} else {
			rest = ""
		}
		before, ok := parseHop(strings.TrimSpace(last))
		if !ok {
			return at
		}
		if at = before; !contains(trusted, at) {
			return at
		}
	}
	return at
}

// parseHop reads an address, which some proxies write with its port.
func parseHop(text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if err != nil {
		withPort, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}, false
		}
		a = withPort.Addr()
	}
	return a.Unmap().WithZone(""), true
}

func contains(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// counted is what an address is counted by: itself, or the /64 of an IPv6 address, all of which one host can use.
func counted(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the bits fit; not an address: the zero value
	return p
}

// bearer is the scheme of RFC 6750 that Authorization has, in any case.
const bearer = "bearer "

var errNoKey = apierror.New(apierror.Unauthenticated, "an API key is required, as Authorization: Bearer KEY or X-API-Key: KEY")

// secret is the key that the request has. Several are refused: which one counts would be ambiguous.
func (c Caller) secret() (string, *apierror.Error) {
	given := c.APIKey
	for _, text := range c.Authorization {
		if len(text) < len(bearer) || !strings.EqualFold(text[:len(bearer)], bearer) {
			return "", apierror.New(apierror.Unauthenticated, "Authorization has another scheme than Bearer; send Authorization: Bearer KEY or X-API-Key: KEY")
		}
		given = append(given[:len(given):len(given)], strings.TrimLeft(text[len(bearer):], " "))
	}
	switch {
	case len(given) == 0:
		return "", errNoKey
	case slices.ContainsFunc(given, func(other string) bool { return other != given[0] }):
		return "", apierror.New(apierror.Unauthenticated, "the request has several API keys; send one, as Authorization: Bearer KEY or X-API-Key: KEY")
	}
	return given[0], nil
}

// Client is the sender of a request that may be served. A nil Client is one without a key.
type Client struct {
	Address netip.Addr // its own, also behind trusted proxies
	ID      string     // what shares of the server are counted by: the key, or the address
	key     *apikey.Key
	gated   *apikey.Key // in place of key for the models that a gateway says; nil: it says none
}

// gated has the models that a gateway says; nil: it says none.
func (c Caller) gated() *apikey.Key {
	if len(c.Models) == 0 {
		return nil
	}
	k := &apikey.Key{}
	for name := range strings.SplitSeq(strings.Join(c.Models, ","), ",") {
		if model, err := url.QueryUnescape(name); err == nil {
			name = model
		}
		k.Models = append(k.Models, name)
	}
	return k
}

// Restrict sets the models that the client may use in the headers of a request that is passed on, or removes the header.
func (c *Client) Restrict(h http.Header) {
	_, k := c.limited()
	if k == nil {
		delete(h, ModelsHeader)
		return
	}
	names := make([]string, len(k.Models))
	for i, name := range k.Models {
		names[i] = url.QueryEscape(name)
	}
	h[ModelsHeader] = []string{strings.Join(names, ",")}
}

// limited returns what says which models the client may use, and its name in errors; nil: it may use all.
func (c *Client) limited() (name string, k *apikey.Key) {
	switch {
	case c == nil:
	case c.key == nil:
		return "the API key", c.gated
	case len(c.key.Models) > 0:
		return "key " + c.key.Name, c.key
	}
	return "", nil
}

// Key is the name of the client's key, "" without one.
func (c *Client) Key() string {
	if c == nil || c.key == nil {
		return ""
	}
	return c.key.Name
}

// MayUse returns an error unless the client may use a model. Who may use a model may use its image view.
func (c *Client) MayUse(model string) error {
	name, k := c.limited()
	if k == nil || k.MayUse(strings.TrimSuffix(model, repository.ViewSuffix)) || k.MayUse(model) {
		return nil
	}
	return apierror.New(apierror.PermissionDenied, "%s may not use model %s; it may use %s", name, apierror.Quote(model), strings.Join(k.Models, ", "))
}

// mayUseAll returns an error unless the client may use all models.
func (c *Client) mayUseAll() error {
	name, k := c.limited()
	if k == nil {
		return nil
	}
	return apierror.New(apierror.PermissionDenied, "%s may only use %s; name one of them in the path, as in /v1/models/%s/predict", name, strings.Join(k.Models, ", "), k.Models[0])
}

// Usable returns those of the models that the client may use, in their order.
func (c *Client) Usable(models []string) []string {
	if _, k := c.limited(); k == nil {
		return models
	}
	return slices.DeleteFunc(slices.Clone(models), func(m string) bool { return c.MayUse(m) != nil })
}
