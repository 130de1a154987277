package access

import (
	"net/http"
	"net/netip"
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
}

// CallerOf returns the sender of an HTTP request.
func CallerOf(r *http.Request) Caller {
	return Caller{r.RemoteAddr, r.Header["Authorization"], r.Header["X-Api-Key"], r.Header["X-Forwarded-For"]}
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
	if c == nil || c.key == nil || c.key.MayUse(strings.TrimSuffix(model, repository.ViewSuffix)) || c.key.MayUse(model) {
		return nil
	}
	return apierror.New(apierror.PermissionDenied, "key %s may not use model %s; it may use %s", c.key.Name, apierror.Quote(model), strings.Join(c.key.Models, ", "))
}

// mayUseAll returns an error unless the client may use all models.
func (c *Client) mayUseAll() error {
	if c == nil || c.key == nil || len(c.key.Models) == 0 {
		return nil
	}
	return apierror.New(apierror.PermissionDenied, "key %s may only use %s; name one of them in the path, as in /v1/models/%s/predict", c.key.Name, strings.Join(c.key.Models, ", "), c.key.Models[0])
}

// Usable returns those of the models that the client may use, in their order.
func (c *Client) Usable(models []string) []string {
	if c == nil || c.key == nil || len(c.key.Models) == 0 {
		return models
	}
	return slices.DeleteFunc(slices.Clone(models), func(m string) bool { return c.MayUse(m) != nil })
}
