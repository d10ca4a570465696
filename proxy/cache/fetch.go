package cache

// What the origin is asked. Whatever a client could say here that an answer is not found
// by, somebody would use to have everybody shown an answer of their making. So a fetch
// says what is in the key (scheme, hosts, target, whether a script asks), whether gzip can be read, the headers
// that answers to the same have named in Vary, and nothing else of a client: no cookie,
// no address, no User-Agent. What some shops refuse to be without is said by us.

// Target is what is fetched. Every part but ID is in the key.
type Target struct {
	Target        []byte // as on the wire: path and query
	Host          []byte
	Proto         []byte // http or https, as the client has it
	ForwardedHost []byte // nil: none
	Script        bool   // asked by XMLHttpRequest: many shops answer with a part of the page, and do not say so
	ID            string // X-Request-Id, made by us
}

// userAgent and accept are what a fetch says unless the page varies by what clients say.
const (
	userAgent   = "user-agent"
	accept      = "accept"
	requestWith = "x-requested-with"
)

// AppendHead writes the request of a flight.
func (f *Flight) AppendHead(b []byte, t *Target) []byte {
	b = append(append(append(b, "GET "...), t.Target...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, t.Host...), "\r\n"...)
	if !f.says(userAgent) {
		b = append(b, "User-Agent: Penstock\r\n"...)
	}
	if !f.says(accept) {
		b = append(b, "Accept: */*\r\n"...)
	}
	if t.Script && !f.says(requestWith) {
		b = append(b, "X-Requested-With: XMLHttpRequest\r\n"...)
	}
	b = append(append(append(b, "Accept-Encoding: "...), codings[f.zip]...), "\r\n"...)
	for _, s := range f.Send {
		b = append(append(append(append(b, s.Name...), ": "...), s.Value...), "\r\n"...)
	}
	b = append(append(append(b, "X-Forwarded-Proto: "...), t.Proto...), "\r\n"...)
	if t.ForwardedHost != nil {
		b = append(append(append(b, "X-Forwarded-Host: "...), t.ForwardedHost...), "\r\n"...)
	}
	return append(append(append(b, "X-Request-Id: "...), t.ID...), "\r\n\r\n"...)
}

// says reports whether the flight says a header of the client. A page that varies by one
// that the client has not sent is fetched without: that is its value then.
func (f *Flight) says(name string) bool {
	for _, n := range f.names {
		if n == name {
			return true
		}
	}
	return false
}
