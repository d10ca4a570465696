package config

// Who is kept out, what is written down of it, and what a sale asks of those who want to
// take part. How suspects are found and treated is in ladder.go and challenge.go.

import (
	"errors"
	"math"
	"regexp"
	"slices"
	"strconv"
	"time"

	"penstock/rules"
)

// What the log of decisions and terms may be given.
const (
	leastLog  = 64 << 10
	mostLog   = 64 << 30
	mostLogs  = 1000
	quickest  = 100 * time.Millisecond // between two readings of the shop's Redis
	mostAge   = 100 * 365 * 24 * time.Hour
	mostWords = 1000
	longName  = 63
)

// bans reads who is kept out of every sale.
func bans(v value) rules.Bans {
	b := rules.Bans{Enforce: v.at("enforce").boolean()}
	var seen []string
	for _, e := range v.at("lists").some() {
		name := e.text()
		switch {
		case name == "":
			continue
		case slices.Contains(seen, name):
			e.fault(repeated, name)
			continue
		case b.Listed == nil:
			b.Listed = &rules.List{}
		}
		seen = append(seen, name)
		e.subjects(b.Listed, banned)
	}
	return b
}

// decisions reads where they are logged; nil: nowhere.
func decisions(v value) *rules.Decisions {
	if v.node == nil {
		return nil
	}
	d := &rules.Decisions{
		Size:  v.at("size").size(leastLog, mostLog),
		Files: v.at("files").integer(1, mostLogs),
		Hash:  v.at("hash_accounts").boolean(),
	}
	if name := v.at("file").text(); name != "" {
		d.File = v.r.path(name)
	}
	return d
}

// cheats reads what a sale asks and does about them. All of it is about accounts.
func cheats(v value, s *rules.Sale, set *rules.Set) {
	for _, name := range []string{"require", "challenge", "ladder", "behaviour"} {
		if at := v.at(name); at.given && !v.at("account").given {
			at.fault(needsAccount)
		}
	}
	s.Require = requirements(v.at("require"), set)
	s.Challenge = challenge(v.at("challenge"))
	s.Ladder = ladder(v)
	s.Behaviour = behaviour(v)
}

// requirements reads the terms of taking part; without any nobody is asked for anything.
func requirements(v value, set *rules.Set) rules.Require {
	if v.node == nil {
		return rules.Require{}
	}
	r := rules.Require{Enforce: v.at("enforce").boolean()}
	all := v.at("terms")
	all.require("terms: [{name: level, header: X-Level, at_least: 3}]")
	var seen []string
	for _, e := range all.some() {
		if e.node == nil {
			continue
		}
		t := term(e, set)
		if t.Name != "" && slices.Contains(seen, t.Name) {
			e.at("name").fault(repeated, t.Name)
		}
		seen = append(seen, t.Name)
		r.Terms = append(r.Terms, t)
	}
	if len(r.Terms) > rules.MostTerms {
		all.fault(tooMany, len(r.Terms), rules.MostTerms)
	}
	return r
}

// term reads one of them.
func term(v value, set *rules.Set) rules.Term {
	t := rules.Term{}
	if name := v.at("name"); name.require("a word for people: name: level") {
		if t.Name = name.text(); len(t.Name) > longName {
			name.fault(longText, longName)
		}
	}
	must, ok := v.oneOf("at_least", "older_than", "one_of", "listed")
	if ok {
		must.condition(&t)
	}
	from, known := v.oneOf("header", "jwt", "redis_hash", "redis_set", "list")
	if !known {
		return t
	}
	switch from.key.name {
	case "header":
		t.From.Name = from.token()
		if len(set.TrustedProxies) == 0 {
			from.fault(neverBelieved)
		}
	case "jwt":
		t.From.Kind, t.From.JWT = rules.SaidByJWT, jwt(from)
	case "redis_hash", "redis_set":
		t.From.Kind = rules.InRedisHash
		if from.key.name == "redis_set" {
			t.From.Kind = rules.InRedisSet
		}
		t.From.Name, t.From.Every = from.text(), v.at("every").duration(quickest)
		if !v.r.redis {
			from.fault(needsRedis)
		}
		if t.From.Kind == rules.InRedisSet && ok && must.key.name != "listed" {
			must.fault(onlyListed)
		}
	case "list":
		of := [...]content{rules.AtLeast: numbers, rules.OlderThan: times, rules.OneOf: words, rules.Listed: members, rules.Unlisted: members}[t.Must]
		if !ok {
			of = members
		}
		t.From.Kind, t.From.List = rules.InList, from.list(of)
	}
	if every := v.at("every"); every.given && t.From.Every == 0 {
		every.fault(needless, from.key.name, "remove it, only redis_hash and redis_set are read again and again")
	}
	return t
}

// condition reads what an attribute must be.
func (v value) condition(t *rules.Term) {
	switch v.key.name {
	case "at_least":
		t.Must, t.Least = rules.AtLeast, v.number()
	case "older_than":
		t.Must, t.Age = rules.OlderThan, v.age()
	case "one_of":
		t.Must = rules.OneOf
		for _, e := range v.some() {
			word := e.text()
			if word != "" && slices.Contains(t.Words, word) {
				e.fault(repeated, word)
			}
			t.Words = append(t.Words, word)
		}
		if len(t.Words) > mostWords {
			v.fault(tooMany, len(t.Words), mostWords)
		}
	case "listed":
		t.Must = rules.Unlisted
		if v.boolean() {
			t.Must = rules.Listed
		}
	}
}

var numberForm = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,9})?$`)

// number reads an unquoted number.
func (v value) number() float64 {
	return bare(v, notNumber, func(s string) (float64, bool) {
		n, err := strconv.ParseFloat(s, 64)
		return n, err == nil && !math.IsInf(n, 0) && numberForm.MatchString(s)
	})
}

// age reads how long ago something must be, which may be many years.
func (v value) age() time.Duration {
	read := func() int64 { return int64(one(v, notDuration, parseDuration)) }
	return time.Duration(v.within(int64(time.Second), int64(mostAge), read, func(n int64) string { return spell(time.Duration(n)) }))
}

// subjects reads the list that v names into one that may hold others already. Its faults
// are v's, each with the line of the list in front.
func (v value) subjects(into *rules.List, of content) {
	name := v.text()
	if name == "" {
		return
	}
	r := &reader{file: name}
	switch err := r.readList(v.r.path(name), into, of); {
	case errors.Is(err, errTooLarge):
		v.fault(tooLarge, name, sizeText(maxList))
	case err != nil:
		v.fault(unreadable, name, reasonOf(err))
	}
	for _, f := range r.faults {
		wrong := f.Wrong
		if f.kind != moreLines {
			wrong = name + ":" + strconv.Itoa(f.Line) + ": " + wrong
		}
		v.r.faults = append(v.r.faults, Fault{File: v.r.file, Line: v.line, Key: v.name, Wrong: wrong, Right: f.Right, kind: f.kind, at: f.Line})
	}
}

// list reads the list that v names. Terms that name the same have one list, so that it is
// in memory once.
func (v value) list(of content) *rules.List {
	use := listUse{v.r.path(v.text()), of}
	if l := v.r.lists[use]; l != nil {
		return l
	}
	l := &rules.List{}
	v.subjects(l, of)
	if v.r.lists == nil {
		v.r.lists = map[listUse]*rules.List{}
	}
	v.r.lists[use] = l
	return l
}
