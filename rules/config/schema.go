package config

// The keys of the file and their defaults: the one place both stand. Readers, the
// check for misspelt keys and the test of config.example.yaml all go by it. What
// values a key takes is not here but with its reader.

import (
	"slices"
	"strings"
)

// key is one key of the file: the only place that knows its name and its default.
// Readers ask for it by name and cannot ask for one that is not here.
type key struct {
	name  string
	shape shape
	word  bool   // of a block: a single value may stand in its place
	def   string // default, as it would be written; "": none
	kids  []key  // of the block, or of each entry of the list or table
}

type shape uint8

const (
	single shape = iota // a scalar, or a block where there are kids
	list
	table // keys are the operator's own
)

var root = key{kids: []key{
	{name: "listen"},
	{name: "tls", kids: []key{{name: "cert"}, {name: "key"}, {name: "client_ca", def: `""`}}},
	{name: "trusted_proxies", shape: list},
	{name: "client_ip", kids: []key{{name: "header", def: "X-Forwarded-For"}, {name: "proxy_protocol", def: "false"}}},
	{name: "client", kids: []key{
		{name: "header", def: "10s"}, {name: "body", def: "30s"}, {name: "idle", def: "75s"},
		{name: "max_header", def: "32KiB"}, {name: "max_body", def: "10MiB"},
	}},
	{name: "health", kids: []key{{name: "listen"}}},
	{name: "shutdown", kids: []key{{name: "delay", def: "5s"}, {name: "timeout", def: "60s"}}},
	{name: "secret_file", def: `""`},
	{name: "admin", kids: []key{{name: "listen", def: "127.0.0.1:9900"}, {name: "token_file", def: `""`}}},
	{name: "origin", kids: originKeys},
	{name: "store", kids: storeKeys},
	{name: "cache", kids: []key{{name: "max_bytes", def: "64MiB"}}},
	{name: "routes", shape: list, kids: []key{
		{name: "name"}, {name: "match", kids: matchKeys}, {name: "priority", def: "browse"},
		{name: "cache", kids: cacheKeys}, answers,
	}},
	{name: "sales", shape: list, kids: saleKeys},
	{name: "bans", kids: []key{{name: "lists", shape: list}, {name: "enforce", def: "true"}}},
	{name: "decisions", kids: []key{
		{name: "file", def: "penstock.decisions.log"}, {name: "size", def: "100MiB"}, {name: "files", def: "10"}, {name: "hash_accounts", def: "false"},
	}},
	answers,
}}

var originKeys = []key{
	{name: "url"},
	{name: "host", def: "preserve"},
	{name: "tls", kids: append(slices.Clone(serverTLSKeys), key{name: "insecure_skip_verify", def: "false"})},
	{name: "concurrency", def: "auto"},
	{name: "latency_target"},
	{name: "max_concurrency", def: "256"},
	{name: "state_file", def: "penstock.origin"},
	{name: "queue", kids: []key{{name: "depth", def: "500"}, {name: "max_wait", def: "1s"}}},
	{name: "winners", kids: []key{{name: "depth", def: "auto"}, {name: "max_wait", def: "30s"}}},
	{name: "timeout", kids: []key{{name: "connect", def: "1s"}, {name: "response", def: "15s"}, {name: "idle_body", def: "60s"}}},
}

var storeKeys = []key{
	{name: "embedded", kids: []key{{name: "path"}}},
	{name: "redis", kids: []key{
		{name: "mode", def: "single"},
		{name: "addrs", shape: list},
		{name: "master_name", def: `""`},
		{name: "username", def: `""`},
		{name: "password_file", def: `""`},
		{name: "db", def: "0"},
		{name: "tls", kids: serverTLSKeys},
		{name: "key_prefix", def: "penstock"},
		{name: "timeout", def: "100ms"},
		{name: "replicas_ack", def: "0"},
		{name: "state_file", def: "penstock.state"},
	}},
}

var serverTLSKeys = []key{{name: "ca", def: `""`}, {name: "cert", def: `""`}, {name: "key", def: `""`}, {name: "server_name", def: `""`}}

var matchKeys = []key{
	{name: "methods", shape: list},
	{name: "host"},
	{name: "path"},
	{name: "query", shape: table},
	{name: "form", shape: table},
	{name: "json", shape: table},
	{name: "from", shape: list},
}

var cacheKeys = []key{
	{name: "ttl"},
	{name: "stale", def: "60s"},
	{name: "ignore_cookies", shape: list},
	{name: "force", def: "false"},
	{name: "max_entry", def: "1MiB"},
}

var saleKeys = []key{
	{name: "name"},
	{name: "match", kids: matchKeys},
	{name: "opens"},
	{name: "closes"},
	{name: "account", shape: list, kids: []key{
		{name: "header"}, {name: "cookie"}, {name: "query"}, {name: "jwt", kids: jwtKeys}, {name: "visitor"},
	}},
	{name: "item", kids: []key{{name: "header"}, {name: "query"}, {name: "form"}, {name: "json"}, {name: "path"}}},
	{name: "stock", kids: []key{
		{name: "units"},
		{name: "items", shape: table},
		{name: "other_items", def: "refuse"},
		{name: "per_account", def: "1"},
		{name: "quantity", kids: []key{{name: "header"}, {name: "query"}, {name: "form"}, {name: "json"}}},
		{name: "reserve_for", def: "2m"},
		{name: "unknown", def: "keep", word: true, kids: []key{
			{name: "resolve", kids: []key{{name: "url"}, {name: "every", def: "10s"}, {name: "timeout", def: "2s"}}},
			{name: "release_after"},
		}},
	}},
	{name: "order", kids: []key{{name: "match", kids: matchKeys}, {name: "without"}}},
	{name: "sold_when", shape: list, def: `[{status: ["200-399"]}]`, kids: answeredKeys},
	{name: "free_when", shape: list, def: `[{status: ["400-499"]}]`, kids: answeredKeys},
	{name: "order_ref", kids: []key{{name: "location"}, {name: "body"}, {name: "header"}, {name: "value"}}},
	{name: "limits", kids: []key{
		{name: "ip", kids: []key{{name: "rate", def: "100/s"}, {name: "burst", def: "200"}, {name: "in_flight", def: "100"}, {name: "enforce", def: "true"}}},
		{name: "account", kids: []key{{name: "rate", def: "2/s"}, {name: "burst", def: "4"}, {name: "in_flight", def: "1"}, {name: "enforce", def: "true"}}},
		{name: "body", def: "64KiB"},
		{name: "body_timeout", def: "5s"},
	}},
	{name: "require", kids: []key{{name: "terms", shape: list, kids: termKeys}, {name: "enforce", def: "true"}}},
	{name: "challenge", kids: challengeKeys},
	{name: "ladder", kids: ladderKeys},
	{name: "behaviour", kids: []key{
		{name: "page"},
		{name: "reaction", def: "50"}, {name: "fastest", def: "180ms"},
		{name: "regular", def: "30"}, {name: "no_page", def: "30"}, {name: "shared", def: "20"},
		{name: "together", def: "70"}, {name: "moved", def: "50"}, {name: "ring", def: "40"},
		{name: "enforce", def: "true"},
	}},
	{name: "cors", kids: []key{{name: "origins", shape: list}}},
	answers,
	{name: "enforce", def: "true"},
}

var termKeys = []key{
	{name: "name"},
	{name: "header"}, {name: "jwt", kids: jwtKeys}, {name: "redis_hash"}, {name: "redis_set"}, {name: "list"},
	{name: "at_least"}, {name: "older_than"}, {name: "one_of", shape: list}, {name: "listed"},
	{name: "every", def: "10s"},
}

var challengeKeys = []key{
	{name: "of", def: "suspects"},
	{name: "work", def: "65536"},
	{name: "captcha", def: "true"},
	{name: "remote", kids: []key{
		{name: "provider"}, {name: "site_key"}, {name: "secret_file"},
		{name: "script"}, {name: "class"}, {name: "field"}, {name: "verify"},
		{name: "timeout", def: "2s"}, {name: "outage", def: "proof_of_work"},
	}},
	{name: "within", def: "5m"},
	{name: "least", def: "2s"},
	{name: "clears", def: "30m"},
	{name: "enforce", def: "true"},
}

// ladderKeys hold the steps for a shop whose customers share addresses and get
// impatient. What a sale cannot have without a challenge or behaviour is 0 there.
var ladderKeys = []key{
	{name: "strikes", kids: stepKeys("10", "20", "100")},
	{name: "accounts_per_address", kids: stepKeys("10", "20", "0")},
	{name: "accounts_per_network", kids: stepKeys("100", "300", "0")},
	{name: "addresses_per_account", kids: stepKeys("3", "5", "0")},
	{name: "ignored_challenges", kids: []key{{name: "observe", def: "3"}, {name: "ban", def: "10"}}},
	{name: "score", kids: stepKeys("30", "50", "0")},
	{name: "window", def: "10m"},
	{name: "for", def: "10m"},
	{name: "enforce", def: "true"},
}

func stepKeys(observe, challenge, ban string) []key {
	return []key{{name: "observe", def: observe}, {name: "challenge", def: challenge}, {name: "ban", def: ban}}
}

var jwtKeys = []key{
	{name: "header", def: "Authorization"}, {name: "claim"},
	{name: "key_file"}, {name: "jwks_file"},
	{name: "issuer", def: `""`}, {name: "audience", def: `""`},
}

var answeredKeys = []key{{name: "status", shape: list}, {name: "location"}, {name: "header", shape: table}, {name: "body_contains"}}

var answers = key{name: "answers", shape: table, kids: []key{
	{name: "status"}, {name: "page", def: `""`}, {name: "json", def: `""`}, {name: "redirect", def: `""`},
}}

// kid is the key of that name in the block, or nil.
func (k *key) kid(name string) *key {
	for i := range k.kids {
		if k.kids[i].name == name {
			return &k.kids[i]
		}
	}
	return nil
}

// names lists the block's keys.
func (k *key) names() string {
	var all []string
	for _, kid := range k.kids {
		all = append(all, kid.name)
	}
	return strings.Join(all, ", ")
}

// nearest is the key a misspelt name was probably meant for, or "".
func (k *key) nearest(name string) string {
	best, least := "", max(1, len(name)/3)+1
	for _, kid := range k.kids {
		if d := distance(strings.ToLower(name), kid.name); d < least {
			best, least = kid.name, d
		}
	}
	return best
}

// distance counts the letters to insert, drop, replace or swap with their neighbour
// to make b of a (optimal string alignment).
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	var before, last []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			same := 1
			if a[i] == b[j] {
				same = 0
			}
			row[j+1] = slices.Min([]int{last[j+1] + 1, row[j] + 1, last[j] + same})
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
