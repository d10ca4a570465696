// Package cache keeps answers of the origin for a moment, so that a crowd that asks for
// one page costs one request in every period.
//
// An answer is found in two steps: by what was asked for (Key), and then by those headers
// of the request that answers to it have named in Vary. Who finds none waits for the one
// fetch under way, or begins it; an answer past its period is still shown for a while,
// and one fetch renews it. What may not be kept leaves a mark, so that nobody waits for
// it again before long. What a fetch may say to the origin is decided here as well
// (fetch.go): nothing of a client but what an answer is found by.
//
// It gives up the cache directives of requests (a crowd that presses reload must not get
// around it), parts of answers (Range), renewal by validator, purging, and memory of
// popular pages beyond the last use. It does not fetch, hold time or start goroutines,
// and knows no type of an HTTP server.
package cache

import (
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"penstock/rules"
)

const (
	// passFor is how long those who ask for what may not be kept go on alone.
	passFor = 10 * time.Second
	// maxVariants bounds the answers of one page; beyond it the one not used the longest goes.
	maxVariants = 32
)

// Cache holds answers of all routes. It is safe for concurrent use.
type Cache struct {
	max      int64
	patience time.Duration
	sends    func(name string) bool

	mu      sync.Mutex
	pages   *simplelru.LRU[string, *page]
	bytes   int64
	answers int
	flights map[string]*Flight
}

// Options is what a cache is made of.
type Options struct {
	MaxBytes int64         // of all answers, with what it takes to find them
	Patience time.Duration // how long one waits for a fetch, counted from its start
	// Sends reports whether a client's header of this name, in lower case, may be sent to
	// the origin as it is. An answer that varies by another is not kept.
	Sends func(name string) bool
}

// New makes an empty cache.
func New(o Options) *Cache {
	c := &Cache{max: o.MaxBytes, patience: o.Patience, sends: o.Sends, flights: map[string]*Flight{}}
	pages, err := simplelru.NewLRU(1<<30, func(_ string, p *page) { c.dropped(p) })
	if err != nil {
		panic(err) // only a size below 1 is refused
	}
	c.pages = pages
	return c
}

// page is all that is known under one key.
type page struct {
	names    []string   // what its answers vary by: lower case, sorted, never changed in place
	variants []*variant // the one used last in front
	size     int64
}

// variant is one answer of a page, or the mark that it has none to show.
type variant struct {
	values string
	answer *Answer   // nil: a mark
	until  time.Time // of a mark
	retry  time.Time // of an answer past its period: not fetched again before
	size   int64
}

// Asked is one request as far as the cache looks at it.
type Asked struct {
	Key    string // made by Key
	Rule   *rules.Cache
	Header interface {
		// Value gives what the client sent under a name in lower case, its lines joined by ", ".
		Value(name string) (value string, ok bool)
	}
}

// State is what the cache can do for a request. The zero value has it go on alone.
type State uint8

const (
	Pass  State = iota // nothing: it goes on as if there were no cache
	Hit                // the answer
	Stale              // an answer past its period
	Miss               // wait for the flight
)

// Found is what the cache has for a request.
type Found struct {
	State  State
	Answer *Answer // with Hit and Stale
	Flight *Flight // with Miss; with Stale if Lead
	Lead   bool    // the caller owes Flight its end: it was begun for this request
}

// Get finds what a request that arrives now may be shown.
func (c *Cache) Get(a *Asked, now time.Time) Found {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	p, known := c.pages.Get(a.Key)
	if known {
		names = p.names
	}
	values, ok := valuesOf(names, a)
	if !ok {
		return Found{}
	}
	v := p.find(values)
	switch {
	case v == nil:
	case v.answer == nil && now.Before(v.until):
		return Found{}
	case v.answer == nil || !now.Before(v.answer.gone):
		c.remove(p, v)
	case now.Before(v.answer.fresh):
		return Found{State: Hit, Answer: v.answer}
	default:
		found := Found{State: Stale, Answer: v.answer}
		if !now.Before(v.retry) && c.flights[flightKey(a.Key, values)] == nil {
			found.Flight, found.Lead = c.begin(a, names, values, now), true
		}
		return found
	}
	f := c.flights[flightKey(a.Key, values)]
	if f == nil {
		return Found{State: Miss, Flight: c.begin(a, names, values, now), Lead: true}
	}
	if !now.Before(f.ends) {
		return Found{} // it takes too long: who comes now must not wait for it as well
	}
	return Found{State: Miss, Flight: f}
}

// find moves the variant to the front; nil if there is none.
func (p *page) find(values string) *variant {
	if p == nil {
		return nil
	}
	i := slices.IndexFunc(p.variants, func(v *variant) bool { return v.values == values })
	if i < 0 {
		return nil
	}
	v := p.variants[i]
	copy(p.variants[1:i+1], p.variants[:i])
	p.variants[0] = v
	return v
}

// put puts v into the page of a key, in place of what has the same values.
func (c *Cache) put(key string, names []string, v *variant) {
	p, ok := c.pages.Get(key)
	if !ok {
		p = &page{size: overhead + int64(len(key))}
		c.pages.Add(key, p)
		c.bytes += p.size
	}
	c.rename(p, names)
	if old := p.find(v.values); old != nil {
		c.remove(p, old)
	}
	if len(p.variants) == maxVariants {
		c.remove(p, p.variants[maxVariants-1])
	}
	v.size = overhead + int64(len(v.values))
	if v.answer != nil {
		v.size += v.answer.size()
		c.answers++
	}
	p.variants = slices.Insert(p.variants, 0, v)
	p.size += v.size
	c.bytes += v.size
	for c.bytes > c.max {
		if _, _, ok := c.pages.RemoveOldest(); !ok {
			return
		}
	}
}

// rename makes names what the page's answers are found by. Those that were found by
// others are gone then.
func (c *Cache) rename(p *page, names []string) {
	if slices.Equal(p.names, names) {
		return
	}
	for len(p.variants) > 0 {
		c.remove(p, p.variants[0])
	}
	n := sizeOf(names) - sizeOf(p.names)
	p.names, p.size = names, p.size+n
	c.bytes += n
}

func (c *Cache) remove(p *page, v *variant) {
	i := slices.Index(p.variants, v)
	p.variants = slices.Delete(p.variants, i, i+1)
	p.size -= v.size
	c.bytes -= v.size
	if v.answer != nil {
		c.answers--
	}
}

// dropped counts off a page that has left.
func (c *Cache) dropped(p *page) {
	c.bytes -= p.size
	for _, v := range p.variants {
		if v.answer != nil {
			c.answers--
		}
	}
}

// Stats gives the bytes of what is kept and the number of answers among it.
func (c *Cache) Stats() (bytes int64, answers int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes, c.answers
}

// overhead is about what a page, a variant or a header takes beside its text, in bytes.
const overhead = 128

func sizeOf(texts []string) (n int64) {
	for _, t := range texts {
		n += int64(len(t)) + 16
	}
	return n
}
