package proxy

// The pass: who holds a unit walks through checkout pages, payment and thank-you page
// while the browsing crowd is refused. The answer that gave the unit carries it, as a
// signed cookie and, for apps, as a header; with it the bearer's further requests are
// `checkout`, a few at a time, until the reservation ends or for a while after the order.
//
// It is a bearer's: shops change session names at login, so a page is not asked whose it
// is. What a leaked pass is worth is bounded instead: few requests at a time, counted by
// sale and account, a short life, and nothing at the gates of a sale, where the account
// is known and must be the same. It ends with its unit where this gateway hears of that,
// and its memory of it is bounded; it gives up revocation otherwise, and counting over
// gateways. It never makes a request worse off: one pass too many, or a void one, changes
// nothing.

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"strconv"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"penstock/proxy/gate"
	"penstock/rules"
)

const (
	passCookie = "penstock_pass"
	passHeader = "Penstock-Pass"

	// passInFlight is how many requests of one bearer are raised at a time: what a browser
	// opens to one host.
	passInFlight = 6
	// passAfterOrder is how long it takes to pay, to be sent back and to read the page.
	passAfterOrder = 15 * time.Minute
	// rememberedPasses bounds the memory of passes that may be handed out again, and that of
	// units that went back before their passes ran out.
	rememberedPasses = 1 << 16
)

// pass is what stands in one, beside the sale's name and the signature.
type pass struct {
	until  int64 // Unix seconds
	token  gate.Token
	bearer bearer
}

// bearer is a sale and an account in it, as a MAC that does not tell who it is.
type bearer [16]byte

// On the wire: until, token, bearer and MAC in base64url, a dot, the sale's name.
const (
	passMAC  = 8 + 16 + 16 // where it begins
	passLen  = passMAC + 16
	passText = (passLen*8 + 5) / 6
)

// issuedPass is one that may be handed out again, and whose the answer was.
type issuedPass struct {
	pass
	to     netip.Addr // as per-address limits count it
	before pass       // of an account that may have several units: the one it had so far
}

// What is counted of passes.
const (
	passIssued  = iota
	passAgain   // issued a second time, to one whose answer was lost
	passUsed    // a request was raised
	passCrowded // one was not, because too many of its bearer's are under way
	passEvents
)

var passEventNames = [passEvents]string{"issued", "again", "used", "crowded"}

// passes are those of all sales.
type passes struct {
	signers sync.Pool
	issued  *lru.Cache[bearer, issuedPass]   // by this process: who has lost the answer gets the same again
	ended   *lru.Cache[gate.Token, struct{}] // units that went back

	mu       sync.Mutex       // also makes one step of what is read of issued and written back
	inFlight map[bearer]uint8 // of those with any
}

func newPasses(s secret) *passes {
	p := &passes{issued: newMemory[bearer, issuedPass](), ended: newMemory[gate.Token, struct{}](), inFlight: map[bearer]uint8{}}
	p.signers.New = func() any { return newSigner(s) }
	return p
}

func newMemory[K comparable, V any]() *lru.Cache[K, V] {
	m, err := lru.New[K, V](rememberedPasses)
	if err != nil {
		panic(err) // only a size below 1 is refused
	}
	return m
}

func (p *passes) bearer(sale, account string) (b bearer) {
	s := p.signers.Get().(*signer)
	defer p.signers.Put(s)
	s.begin("bearer")
	s.add(sale)
	s.add(account)
	copy(b[:], s.sum())
	return b
}

// write makes the pass's text.
func (p *passes) write(sale string, k pass) string {
	var raw [passLen]byte
	binary.BigEndian.PutUint64(raw[:], uint64(k.until))
	copy(raw[8:], k.token[:])
	copy(raw[24:], k.bearer[:])
	s := p.signers.Get().(*signer)
	defer p.signers.Put(s)
	copy(raw[passMAC:], s.pass(sale, raw[:passMAC]))
	return base64.RawURLEncoding.EncodeToString(raw[:]) + "." + sale
}

// read checks a pass. Its sale must be one whose units are taken here: one that was
// removed from the file, or only observes, has no passes; nor has a unit that went back.
func (p *passes) read(u *ruled, text []byte, now time.Time) (k pass, sale *kind) {
	if len(text) <= passText || text[passText] != '.' {
		return pass{}, nil
	}
	name := text[passText+1:]
	sale = u.withPasses[string(name)]
	if sale == nil {
		return pass{}, nil
	}
	s := p.signers.Get().(*signer)
	defer p.signers.Put(s)
	raw := s.scratch[:passLen]
	if _, err := strictBase64.Decode(raw, text[:passText]); err != nil {
		return pass{}, nil
	}
	k.until = int64(binary.BigEndian.Uint64(raw))
	copy(k.token[:], raw[8:])
	copy(k.bearer[:], raw[24:])
	if now.Unix() >= k.until || subtle.ConstantTimeCompare(s.pass(sale.sale, raw[:passMAC]), raw[passMAC:]) != 1 {
		return pass{}, nil
	}
	if p.ended.Contains(k.token) {
		return pass{}, nil
	}
	return k, sale
}

// issue remembers a pass that is handed out, and to whom.
func (p *passes) issue(k pass, to netip.Addr) {
	i := issuedPass{pass: k, to: to}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch old, ok := p.issued.Peek(k.bearer); {
	case !ok:
	case old.token != k.token:
		i.before = old.pass
	default:
		i.before = old.before
	}
	p.issued.Add(k.bearer, i)
}

// end makes every pass of a unit void, and forgets the one that may be handed out again.
// It answers the pass that its bearer still has; one without an end if none.
func (p *passes) end(b bearer, token gate.Token) pass {
	p.ended.Add(token, struct{}{})
	p.mu.Lock()
	defer p.mu.Unlock()
	i, ok := p.issued.Peek(b)
	switch {
	case !ok:
		return pass{}
	case i.before.token == token:
		i.before = pass{}
	case i.token == token:
		i.pass, i.before = i.before, pass{}
	}
	if i.until == 0 {
		p.issued.Remove(b)
	} else {
		p.issued.Add(b, i)
	}
	return i.pass
}

var strictBase64 = base64.RawURLEncoding.Strict()

// enter counts a request of the bearer, if there are not too many.
func (p *passes) enter(b bearer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.inFlight[b]
	if n >= passInFlight {
		return false
	}
	p.inFlight[b] = n + 1
	return true
}

func (p *passes) leave(b bearer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.inFlight[b]; n > 1 {
		p.inFlight[b] = n - 1
	} else {
		delete(p.inFlight, b)
	}
}

// notePass keeps a pass of a head, if there is room for it. An old cookie may lie beside
// a new header, or one of another path beside ours: they do no harm to each other.
func (h *head) notePass(text []byte) {
	for _, known := range h.passes[:h.passesShown] {
		if bytes.Equal(known, text) {
			return
		}
	}
	if h.passesShown < len(h.passes) {
		h.passes[h.passesShown] = text
		h.passesShown++
	}
}

// notePasses looks for passes among cookies.
func (h *head) notePasses(cookies []byte) {
	for rest := cookies; ; {
		i := bytes.Index(rest, passPrefix)
		if i < 0 {
			return
		}
		before := trimOWS(cookies[:len(cookies)-len(rest)+i])
		if rest = rest[i+len(passPrefix):]; len(before) > 0 && before[len(before)-1] != ';' {
			continue // the end of another cookie's name, or in its value
		}
		text := rest
		if j := bytes.IndexByte(rest, ';'); j >= 0 {
			text = rest[:j]
		}
		text = trimOWS(text)
		if n := len(text); n >= 2 && text[0] == '"' && text[n-1] == '"' {
			text = text[1 : n-1]
		}
		h.notePass(text)
	}
}

var passPrefix = []byte(passCookie + "=")

// showPass raises the priority of a request whose bearer holds a unit.
func (p *Proxy) showPass(r *request) {
	if r.head.passesShown == 0 {
		return
	}
	var sale *kind
	for _, text := range r.head.passes[:r.head.passesShown] {
		if r.pass, sale = p.passes.read(r.ruled, text, r.facts.At); sale != nil {
			break
		}
	}
	if sale == nil {
		p.metrics.voidPasses.Inc()
		return
	}
	if at := r.facts.Priority; at <= rules.Checkout || at == rules.Static {
		return
	}
	// At a sale's own gates people stand by their account, and a pass of another sale, or
	// of somebody else, is worth nothing.
	if s := r.facts.Sale; s != nil && (s.Name != sale.sale || p.passes.bearer(s.Name, r.facts.Account) != r.pass.bearer) {
		return
	}
	if !p.passes.enter(r.pass.bearer) {
		sale.passes[passCrowded].Inc()
		return
	}
	r.raised, r.facts.Priority = true, rules.Checkout
	sale.passes[passUsed].Inc()
}

// handPass lets an answer carry the pass of who holds a unit of a sale. Where nobody
// knows whether the order exists the unit is kept, and so is the way to find out.
func (p *Proxy) handPass(r *request) {
	s := r.facts.Sale
	if s == nil || s.Stock == nil || !s.Enforce || r.facts.Account == "" {
		return
	}
	if r.answered == gate.AlreadyBought || r.answered == gate.OrderPending {
		p.handPassAgain(r)
		return
	}
	if r.held&(1<<start) == 0 || !r.holdsUnit() {
		return
	}
	k := pass{token: r.reservation()}
	switch {
	case r.end.Kind == gate.Refused || r.end.Kind == gate.Unsent:
		return // what was reserved before stays so, and its pass with it
	case r.end.Kind == gate.Answered && r.end.Outcome == rules.OutcomeFree:
		p.endPass(r, k.token)
		return
	case r.step() == reserves:
		k.until = r.decided.Add(s.Stock.ReserveFor).Unix()
	default:
		k.until = time.Now().Add(passAfterOrder).Unix()
	}
	k.bearer = p.passes.bearer(s.Name, r.facts.Account)
	p.passes.issue(k, r.facts.Subject())
	r.kind.passes[passIssued].Inc()
	p.setPass(r, k)
}

// handPassAgain repeats the pass for one who asks a second time, perhaps because the
// first answer was lost: the same one, with the same end, or asking would prolong it. An
// account that merely stands in a query can be anybody's; one that stands in a cookie may
// be no more than a customer's number, so there it is repeated only to the winner's address.
func (p *Proxy) handPassAgain(r *request) {
	source := r.facts.Account[0]
	if source == 'q' {
		return
	}
	k, ok := p.passes.issued.Get(p.passes.bearer(r.facts.Sale.Name, r.facts.Account))
	if !ok || time.Now().Unix() >= k.until || source == 'c' && k.to != r.facts.Subject() {
		return
	}
	r.kind.passes[passAgain].Inc()
	p.setPass(r, k.pass)
}

func (p *Proxy) setPass(r *request, k pass) {
	age := k.until - time.Now().Unix()
	if age <= 0 {
		return
	}
	text := p.passes.write(r.facts.Sale.Name, k)
	r.line("Set-Cookie", passCookie+"="+text+"; Path=/; Max-Age="+strconv.FormatInt(age, 10)+r.passAttributes())
	r.line(passHeader, text)
}

// endPass takes the pass of a unit that went back from who has shown it. If its bearer
// holds another unit, that one's pass takes its place.
func (p *Proxy) endPass(r *request, token gate.Token) {
	rest := p.forgetPass(r, token)
	switch {
	case r.pass.token != token:
	case rest.until > time.Now().Unix():
		p.setPass(r, rest)
	default:
		r.line("Set-Cookie", passCookie+"=; Path=/; Max-Age=0"+r.passAttributes())
	}
}

// forgetPass makes the passes of a unit that went back void, if any can have been issued:
// none is where the unit came and went with one answer.
func (p *Proxy) forgetPass(r *request, token gate.Token) (rest pass) {
	if !r.facts.Order && !r.late {
		return pass{}
	}
	return p.passes.end(p.passes.bearer(r.facts.Sale.Name, r.facts.Account), token)
}

// passAttributes are the cookie's. Payment providers send people back by a POST from
// their own site, which carries no Lax cookie; None is only taken where it is Secure.
func (r *request) passAttributes() string {
	if r.clientScheme() == "https" {
		return "; HttpOnly; Secure; SameSite=None"
	}
	return "; HttpOnly; SameSite=Lax"
}
