// Package cheats draws crowds in which it is known who is a person and who is not, plays
// them against a gateway's gates, and judges how well those tell people from cheats.
//
// A crowd comes from a seed: how many come, from where, when they press and what they do
// with an answer are drawn from distributions, so no two crowds have the same numbers in
// common. Everybody reacts to answers, so the same crowd behaves otherwise before another
// gateway; that is what makes "with protection" and "without" comparable.
//
// It gives up what an answer does not depend on: nobody parses a page, no hash is
// computed, and a solved challenge costs time instead. How fast hands and machines are is
// an estimate; the ranges stand beside the code that draws from them. It does not know
// how any gate works, and none of its numbers is taken from one.
package cheats

import (
	"encoding/hex"
	"net/netip"
	"time"
)

// Kind is who somebody is.
type Kind uint8

const (
	Home      Kind = iota // alone, or two or three at one address
	Shared                // behind an address that tens or hundreds use
	Mobile                // changes between two or three networks
	Impatient             // double-clicks, or presses again and again
	NoScript              // without JavaScript
	Flood                 // one account, hundreds of requests
	Farm                  // hundreds of accounts at one address or in one /24
	Ring                  // bots that share a pool of addresses
	Kiddie                // a simple loop without JavaScript, one account or a few
	Careful               // a farm that imitates people
	Kinds
)

var kindNames = [Kinds]string{"home", "shared address", "mobile", "impatient", "no scripts", "flood", "farm", "ring", "kiddie", "careful farm"}

// String is the label of a kind.
func (k Kind) String() string {
	if k >= Kinds {
		return "unknown"
	}
	return kindNames[k]
}

// Cheat reports whether it is not a person.
func (k Kind) Cheat() bool { return k >= Flood }

// Crowd is one crowd. It can be played once, because its agents remember.
type Crowd struct {
	Seed   uint64
	Agents []*Agent
	Units  int // of the sale that they come for
}

// Draw makes a crowd of about so many people; 0: between six and sixteen thousand. How
// many cheats come with them is drawn, too.
func Draw(seed uint64, people int) *Crowd {
	d := newDice(seed, 0)
	if people <= 0 {
		people = d.n(6000, 16000)
	}
	w := &draw{dice: d, land: newLand(d), crowd: &Crowd{Seed: seed}, names: map[string]bool{}}
	w.people(people)
	w.cheats(people)
	d.Shuffle(len(w.crowd.Agents), func(i, j int) {
		a := w.crowd.Agents
		a[i], a[j] = a[j], a[i]
	})
	for i, a := range w.crowd.Agents {
		a.ID = i
	}
	// A sale worth cheating at sells to one in ten who come, or to fewer.
	w.crowd.Units = max(10, int(float64(people)*d.between(.02, .1)))
	return w.crowd
}

// draw is a crowd that is being made.
type draw struct {
	dice
	land  *land
	crowd *Crowd
	names map[string]bool
	made  uint64
}

// agent adds one to the crowd. An account's name says nothing of whose it is.
func (w *draw) agent(k Kind, at ...netip.Addr) *Agent {
	w.made++
	a := &Agent{Kind: k, dice: newDice(w.crowd.Seed, w.made), addresses: at, Script: true}
	for a.Account == "" || w.names[a.Account] {
		var b [6]byte
		for i := range b {
			b[i] = byte(w.Uint32())
		}
		a.Account = "c:" + hex.EncodeToString(b[:])
	}
	w.names[a.Account] = true
	a.away = a.span(15*time.Millisecond, 60*time.Millisecond)
	w.crowd.Agents = append(w.crowd.Agents, a)
	return a
}
