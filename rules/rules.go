// Package rules says what a rule is: the compiled form of one configuration file,
// and nothing else. Plain values of the standard library, made once by
// rules/config and never changed afterwards; a reload makes a new Set.
//
// It does not read files, count anything, or know HTTP beyond the bytes a match
// compares.
package rules

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"regexp"
	"time"
)

// Set is one configuration file.
type Set struct {
	File string // path as given
	Hash string // hex SHA-256 of the bytes read

	Listen         string
	TLS            *TLS           // nil: plain
	TrustedProxies []netip.Prefix // whose forwarded headers are believed
	ClientIPHeader string         // e.g. "X-Forwarded-For"
	ProxyProtocol  bool           // every connection begins with a PROXY header, of a trusted proxy
	Client         Client
	Health         string // listen address of the token-free probes; "": none
	Shutdown       Shutdown
	Secret         []byte // contents of secret_file; nil: made once and kept in the store

	Admin  Admin
	Origin Origin
	Store  Store

	Sales   []*Sale // in order; asked before Routes
	Routes  []*Route
	Answers map[string]*Answer // by reason; sale and route overrides come first

	CacheBytes int64 // of answers that are kept, of all routes together

	Bans      Bans
	Decisions *Decisions // nil: none are logged
}

// TLS is who the gateway is to its clients, and whom it asks who they are. The files are
// kept by name as well, so that they can be read again when they change.
type TLS struct {
	CertFile, KeyFile, ClientCAFile string // the last may be ""

	Cert      tls.Certificate
	ClientCAs []*x509.Certificate // empty: clients show no certificate
}

// Client limits what a client may send, and how slowly.
type Client struct {
	Header    time.Duration // for the request line and headers
	Body      time.Duration // the longest silence inside a streamed body
	Idle      time.Duration // between two requests of a connection
	MaxHeader int           // bytes
	MaxBody   int64         // bytes, for requests that are not a sale's
}

// Shutdown is how a gateway leaves.
type Shutdown struct {
	Delay   time.Duration // readiness is red, requests are still served
	Timeout time.Duration // then the running ones have this long
}

// Admin is the operators' listener.
type Admin struct {
	Listen string
	Token  string // "": none required (loopback only)
}

// Origin is the shop behind the gateway.
type Origin struct {
	Network string     // "tcp" or "unix"
	Address string     // host:port, or a socket's path
	Host    string     // "": the client's Host is preserved
	TLS     *ServerTLS // nil: plain
	AnyCert bool       // with TLS: whoever answers is taken for the shop

	Concurrency        int           // requests in flight; 0: found automatically
	MaxConcurrency     int           // never above
	ObserveConcurrency bool          // nothing below MaxConcurrency is enforced; what Concurrency 0 would do is worked out
	LatencyTarget      time.Duration // anchor for the automatic limit; 0: none
	StateFile          string        // where this gateway keeps the limit it found; "": nowhere

	QueueDepth     int           // places for requests that hold nothing
	QueueMaxWait   time.Duration // and how long they wait for a slot
	WinnersDepth   int           // places for requests that hold a unit; 0: what the origin serves within WinnersMaxWait
	WinnersMaxWait time.Duration

	ConnectTimeout  time.Duration
	ResponseTimeout time.Duration // from the last byte sent to the head of the answer
	IdleBodyTimeout time.Duration // the longest silence inside the answer's body
}

// Store is where stock lives. At most one is set; neither: no sale has stock.
type Store struct {
	Embedded string // path of the embedded store's file; "": none
	Redis    *Redis
}

// Redis is a Redis server, or several that are one.
type Redis struct {
	Mode        RedisMode
	Addrs       []string // one server; or some sentinels; or some nodes of a cluster
	MasterName  string   // with sentinels: the primary's name
	Username    string
	Password    string
	DB          int
	TLS         *ServerTLS // nil: plain
	KeyPrefix   string
	Timeout     time.Duration // for one call, retries included
	ReplicasAck int           // replicas that must have an order's start before it is sent
	StateFile   string        // where this gateway keeps what it knows of the stock in Redis
}

// RedisMode is how servers stand together. It is never guessed from addresses.
type RedisMode uint8

const (
	RedisSingle RedisMode = iota
	RedisSentinel
	RedisCluster
)

// ServerTLS is how servers are known that we connect to, and who we are to them.
type ServerTLS struct {
	Roots      *x509.CertPool    // nil: the system's
	Cert       []tls.Certificate // empty: we show none
	ServerName string            // "": the address's host
}

// Priority is a class of work for the origin, highest first.
type Priority uint8

const (
	Winner Priority = iota
	Checkout
	Order
	Browse
	Prefetch
	Static // outside the ranking: a small fixed limit of its own
	Priorities
)

var priorityNames = [Priorities]string{"winner", "checkout", "order", "browse", "prefetch", "static"}

// String is the name used in configuration and metrics.
func (p Priority) String() string {
	if p >= Priorities {
		return "unknown"
	}
	return priorityNames[p]
}

// Route is a kind of request that is not a sale's.
type Route struct {
	Name     string
	Match    Match
	Priority Priority
	Cache    *Cache // nil: its answers are not kept
	Answers  map[string]*Answer
}

// Cache is how a route's answers are kept, to be shown to all that ask for the same.
type Cache struct {
	TTL           time.Duration // how long one is shown as it is: at most one is fetched in that time
	Stale         time.Duration // and after that while another is fetched, or cannot be
	IgnoreCookies []string      // names of cookies that do not make a request somebody's own
	Force         bool          // kept also against the origin's word; what sets cookies is kept without them
	MaxEntry      int64         // bytes of one
}

// Sale is one sale: who may ask for what, when, and what the origin's answer means.
type Sale struct {
	Name  string
	Match Match

	Opens  time.Time // zero: has always been open
	Closes time.Time // zero: never closes

	Account []Source   // in order, the first present names the account; empty: no account is asked for
	Item    *Source    // nil: the sale has one item, named ""
	Stock   *Stock     // nil: the sale takes no stock
	Order   *OrderStep // nil: the request that takes the unit places the order, too

	SoldWhen []Answered // any: the unit is sold
	FreeWhen []Answered // any: the unit goes back; both or neither: unknown

	Limits Limits

	Require   Require
	Challenge *Challenge // nil: nobody is
	Ladder    *Ladder    // nil: nobody climbs
	Behaviour *Behaviour // nil: nobody is scored

	Answers map[string]*Answer
	Ref     *OrderRef // nil: the shop's name of an order is not looked for
	Origins []string  // of pages elsewhere that may ask, as browsers send them: "https://shop.example"; empty: CORS is the shop's
	Enforce bool      // false: refusals are counted, never effective
}

// OrderStep is the later request that places the order of what was reserved.
type OrderStep struct {
	Match          Match
	ForwardWithout bool // orders without a reservation are forwarded, else refused
}

// OrderRef finds the shop's name of an order in the answer that sold it: the first group
// of the expression, or all that it matches where it has none.
type OrderRef struct {
	Location *regexp.Regexp // exactly one of the three is set
	Body     *regexp.Regexp
	Header   *regexp.Regexp
	Name     string // of the header
}

// Unknown is what becomes of units whose order may or may not exist.
type Unknown uint8

const (
	Keep    Unknown = iota // held until somebody knows
	Resolve                // the origin is asked
	Release                // free after a while: this can oversell
)

// Resolver is whom to ask about an order.
type Resolver struct {
	URL     string // with {token} and {ref} where they belong
	Timeout time.Duration
}

// Stock is what a sale sells.
type Stock struct {
	Ledger       string         // name under which the store keeps it; an observed sale has one of its own
	Items        map[string]int // units by item; one entry "" where the sale has a single item
	ForwardOther bool           // an item not listed is forwarded ungated, else refused
	PerAccount   int            // units over all items
	Quantity     *Source        // nil: 1
	ReserveFor   time.Duration  // until start
	SendingFor   time.Duration  // from start until an unanswered unit counts as held
	Unknown      Unknown
	UnknownAfter time.Duration // Release: until a held unit is free; Resolve: between two questions
	Resolver     *Resolver     // with Resolve
}

// Limits are a sale's limits per address and per account, and on its bodies.
type Limits struct {
	IP, Account Limit
	Body        int64         // bytes
	BodyTimeout time.Duration // for the whole body
}

// Limit is one rate and one cap on requests in flight.
type Limit struct {
	Every    time.Duration // one request per Every: the reciprocal of the rate; 0: no rate limit
	Burst    int           // requests above the rate that are let through at once, at least 1
	InFlight int           // 0: no cap
	Enforce  bool
}

// SourceKind is where in a request a value stands.
type SourceKind uint8

const (
	FromHeader SourceKind = iota // accounts: believed from trusted proxies only
	FromCookie
	FromQuery
	FromForm // application/x-www-form-urlencoded or multipart/form-data
	FromJSON // a member of the top-level object
	FromPath // the one segment that Name's "*" stands for
	FromJWT
	FromVisitor // a signed cookie of our own
)

// InBody reports whether the body must be read to know the value.
func (k SourceKind) InBody() bool { return k == FromForm || k == FromJSON }

// Source names one value in a request.
type Source struct {
	Kind SourceKind
	Name string // of the header (canonical case is not needed), cookie, parameter or member; path pattern
	JWT  *JWT   // with FromJWT
}

// JWT says which tokens are believed. The algorithm is pinned by the key; a token
// without an expiry is refused.
type JWT struct {
	Header   string // "Authorization": the Bearer scheme is taken off
	Claim    string // whose string value is the account
	Issuer   string // "": any
	Audience string // "": any
	Keys     []JWTKey
}

// JWTKey is one key a token may be signed with.
type JWTKey struct {
	ID  string // kid; "": for tokens that name none, or any where it is the only key
	Alg string // the only algorithm believed with it, e.g. "RS256"
	Key any    // []byte, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// Answer overrides what a client is told. Zero fields keep the default.
type Answer struct {
	Status   int
	Page     []byte // HTML
	JSON     []byte
	Redirect string // sent as 303 See Other with this Location to clients that prefer HTML
}
