package config

// What can be wrong with a file, and how it is said. All wording stands in one table:
// a reader in trouble at night should hear one voice. A test holds that each kind is
// shown by a file in testdata/bad.

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing wrong with the file.
type Fault struct {
	File  string // as given to Load
	Line  int    // from 1
	Key   string // dotted, list elements by name or index: "sales[phone].stock.units"
	Wrong string
	Right string

	kind kind
	at   int // line of the list that Key names; 0: it is about no list
}

// String is the fault as people read it: "file:line: key: what is wrong, what would be right".
func (f Fault) String() string {
	return fmt.Sprintf("%s:%d: %s: %s, %s", f.File, f.Line, f.Key, f.Wrong, f.Right)
}

// Faults is every fault of one file, by line.
type Faults []Fault

// Error gives one fault per line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	return strings.Join(lines, "\n")
}

// sorted puts the faults in the order of the file and drops repeats, which come from
// a key that is looked at twice.
func (f Faults) sorted() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), strings.Compare(a.Key, b.Key), cmp.Compare(a.at, b.at), cmp.Compare(a.kind, b.kind))
	})
	return slices.Compact(f)
}

type kind uint8

const (
	unreadable kind = iota
	tooLarge
	emptyFile
	badYAML
	tab
	secondDocument
	notBlock
	notList
	notSingle
	noValue
	noEntry
	duplicate
	misspelt
	unknown
	badKey
	aliased
	tagged
	missing
	notExactlyOne
	quoted
	notInteger
	notBoolean
	notDuration
	notRate
	notSize
	outOfRange
	noOffset
	notTime
	notText
	notChoice
	notListen
	notAddress
	notPrefix
	hostBits
	trustsAll
	nobodyTrusted
	sameListener
	openAdmin
	notOrigin
	needsHTTPS
	nobodyKnown
	notConcurrency
	originIsSelf
	notHost
	notToken
	notKeyPrefix
	oneServer
	needlessHere
	clusterDatabase
	badCert
	notName
	nameTaken
	badPath
	badPattern
	notMethod
	repeated
	noBody
	routeBody
	emptyWindow
	shadowed
	overlapping
	tooShort
	tooMuch
	neverBelieved
	afterVisitor
	notVisitor
	noAccount
	noItem
	noItems
	itemPath
	itemNever
	itemName
	notStatus
	sameOutcome
	notWebOrigin
	anyOrigin
	noUnit
	sameStep
	sharedOrder
	notExpression
	valueAlone
	notResolver
	shortSecret
	badKeyFile
	notReason
	notJSON
	notRedirect
	twoPages
	ownCookie
	neverKept
	keptSale
	needsAccount
	needsRedis
	needless
	tooMany
	notNumber
	notSince
	onlyListed
	noChallenge
	noBehaviour
	noLadder
	notRising
	noPoints
	noPage
	emptySecret
	notSiteKey
	notURL
	notClass
	notField
	noSubject
	looseHash
	notAddressed
	bansAll
	otherValue
	longLine
	longText
	moreLines
	kinds
)

// wording holds what is said for each kind. The verbs of wrong take the first
// arguments of a fault, those of right the rest.
var wording = [kinds]struct{ wrong, right string }{
	unreadable:      {"%s cannot be read (%s)", "name a file this user can read"},
	tooLarge:        {"%s is larger than %s", "use a smaller file"},
	emptyFile:       {"is empty", "begin with listen, origin and a sale"},
	badYAML:         {"is not YAML (%s)", `indent by spaces and quote text that holds any of : # { } [ ] & * ! | > ' " %% @`},
	tab:             {"is indented with a tab", "use spaces"},
	secondDocument:  {"a second document begins here", "keep everything in one"},
	notBlock:        {"is %s", "write a block of keys: %s"},
	notList:         {"is %s", "write a list: [a, b]"},
	notSingle:       {"is %s", "write a single value"},
	noValue:         {"has no value", "write one or remove the key"},
	noEntry:         {"is empty", "write at least one entry or remove the key"},
	duplicate:       {"stands on line %d already", "keep one of the two"},
	misspelt:        {"is not a key here", "did you mean %s?"},
	unknown:         {"is not a key here", "the keys here are %s"},
	badKey:          {"has a key that is not text", "write keys as plain words"},
	aliased:         {"uses an anchor or alias", "write the value out"},
	tagged:          {"has the tag %s", "write the value without it"},
	missing:         {"is missing", "write %s"},
	notExactlyOne:   {"has %s", "write exactly one of %s"},
	quoted:          {"%q is quoted", "write it without quotes"},
	notInteger:      {"%q is not a whole number", "write digits only, without a leading zero: 1000"},
	notBoolean:      {"%q is neither true nor false", "write true or false"},
	notDuration:     {"%q is not a length of time", "write a number and a unit: 250ms, 2s, 2m, 1h"},
	notRate:         {"%q is not a rate", "write a number per second, minute or hour: 100/s, 30/m, 5/h"},
	notSize:         {"%q is not a size", "write bytes, or a number and a unit: 512B, 64KiB, 10MiB, 1GiB"},
	outOfRange:      {"%s is out of range", "write %s to %s"},
	noOffset:        {"%q has no offset, so it is another moment in every time zone", `add it: "%s+08:00" in Shanghai, "%sZ" in UTC`},
	notTime:         {"%q is not a time", `write date, time and offset: "2026-11-27T20:00:00+08:00"`},
	notText:         {"%q holds characters that do not belong in text", "write printable characters on one line"},
	notChoice:       {"%q is not known here", "write one of %s"},
	notListen:       {"%q is not an address to listen on", `write ":8080" or "127.0.0.1:8080"`},
	notAddress:      {"%q is not an address", `write host and port: "127.0.0.1:6379"`},
	notPrefix:       {"%q is neither an address nor a network", `write "192.0.2.7" or "192.0.2.0/24"`},
	hostBits:        {"%s has bits set behind its mask", "write %s"},
	trustsAll:       {"%s believes what any client claims to be", "name the networks of your own load balancers"},
	nobodyTrusted:   {"a PROXY header is taken from trusted_proxies only, and there are none", "add the network of your load balancer to trusted_proxies"},
	sameListener:    {"%s is taken by %s", "use another port"},
	openAdmin:       {"is missing while admin listens on %s, which others can reach", "name a file that holds a token, or listen on 127.0.0.1"},
	notOrigin:       {"%q is not an origin", `write "http://127.0.0.1:8081", "https://shop.example" or "unix:/run/shop.sock", without a path behind the host`},
	needsHTTPS:      {"is about https, and origin.url is %q", "write https in origin.url or remove it"},
	nobodyKnown:     {"%s says whom to believe, and insecure_skip_verify believes everybody", "keep one of the two"},
	notConcurrency:  {"%q is no limit", "write auto, observe, or how many requests the shop may be given at a time: 40"},
	originIsSelf:    {"%s is the address this gateway listens on", "write the address of the shop"},
	notHost:         {"%q is not a host name", "write it in lower case without scheme or path: shop.example"},
	notToken:        {"%q cannot be the name of a header or cookie", "use letters, digits and - only"},
	notKeyPrefix:    {"%q cannot begin a key", "use at most 64 of letters, digits and . _ : - only"},
	oneServer:       {"names %d servers, but mode is single", "name one, or write mode: sentinel or mode: cluster"},
	needlessHere:    {"means nothing with mode %s", "remove it or write mode: %s"},
	clusterDatabase: {"%d is not there, a cluster has database 0 only", "write 0 or remove it"},
	badCert:         {"%s holds no certificate that can be used (%s)", "put PEM certificates in it, and nothing else"},
	notName:         {"%q cannot be a name", "use at most 63 of a-z, 0-9, '.', '_', '-', and begin with a letter or digit"},
	nameTaken:       {"%s is the name of the entry on line %d already", "give each its own"},
	badPath:         {"%q is not a path as it can be matched (%s)", `write it as the shop does, from "/" on: /cart/add`},
	badPattern:      {"%q is not a pattern (%s)", `"*" stands for one whole segment, "**" for any rest and only at the end`},
	notMethod:       {"%q is not a method", "write any of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"},
	repeated:        {"%s stands here twice", "keep one of the two"},
	noBody:          {"needs a body, which %s requests do not have", "take it from query, or match POST"},
	routeBody:       {"routes are matched before the body is read", "match by path, query or method"},
	emptyWindow:     {"%s is not after opens", "write a later time"},
	shadowed:        {"can never match, sale %s on line %d matches the same requests at all those times", "match less there or put this one first"},
	overlapping:     {"is open while sale %s on line %d is, which matches the same requests", "let one close before the other opens"},
	tooShort:        {"%s is shorter than %s", "write at least %s"},
	tooMuch:         {"%s is more than %s", "write at most %s"},
	neverBelieved:   {"a header is believed from trusted_proxies only, and there are none", "add the network of the proxy that sets it to trusted_proxies"},
	afterVisitor:    {"is never reached, because every client is a visitor", "put visitor last"},
	notVisitor:      {"false names nobody", "write true or remove the entry"},
	noAccount:       {"counts accounts, but the sale has no account", "add account to the sale"},
	noItem:          {"there are several items, but nothing says which is asked for", "add item to the sale: {form: variant}"},
	noItems:         {"names an item, but the stock has none", "write stock.items: {red: 600, blue: 400}"},
	itemPath:        {"%q has not exactly one *", "put one * where the item stands: /p/*"},
	itemNever:       {"%q has no request in common with the path %s of the sale", "write the same path with * where the item stands"},
	itemName:        {"%q cannot stand in a path as it is", "use letters, digits and . _ ~ - only"},
	notStatus:       {"%q is not a status or range of statuses", `write "201" or "400-499", from 100 to 599`},
	sameOutcome:     {"is the same as sold_when, so every answer would be unknown", "let the two differ"},
	notWebOrigin:    {"%q is not the origin of a page", `write it as browsers send it, in lower case, with a port only where it is not the usual one: "https://shop.example"`},
	anyOrigin:       {"%q would let any page buy in its visitors' names", `name each: "https://shop.example"`},
	noUnit:          {"is about units, but the sale has no stock", "add stock to the sale: {units: 1000}"},
	sameStep:        {"matches requests that the sale's own match does, too", "let the two differ by path, method or a parameter's value"},
	sharedOrder:     {"matches orders that sale %s on line %d does, too, while both are open", "let one close before the other opens, or make products of one checkout items of one sale"},
	notExpression:   {"%q is not a regular expression (%s)", `write one in the syntax of RE2: 'order=(\d+)'`},
	valueAlone:      {"is the value of a header, but no header is named", "write {header: X-Order-Id, value: '.+'} or remove it"},
	notResolver:     {"%q is not an address to ask about an order", `write "http://shop.example/orders?token={token}", with {token} or {ref} behind the host and no other braces`},
	shortSecret:     {"%s holds %d bytes", "put at least %d random bytes in it"},
	badKeyFile:      {"%s holds no key that can be used (%s)", "%s"},
	notReason:       {"is not the reason of an answer", "write one of %s"},
	notJSON:         {"is not JSON", "write one JSON value in single quotes"},
	notRedirect:     {"%q is not a place to send a browser to", `write a path ("/sorry") or a whole URL`},
	twoPages:        {"has both page and redirect", "keep one of the two"},
	ownCookie:       {"%s is a cookie of the gateway's own, which never counts", "remove it"},
	neverKept:       {"answers to %s are never kept", "match GET as well or remove it"},
	keptSale:        {"keeps answers at the path %s of sale %s, which is never done", "match other paths here"},
	needsAccount:    {"is about accounts, but the sale has no account", "add account to the sale: [{cookie: SESSION}, {visitor: true}]"},
	needsRedis:      {"is kept in Redis, but there is no store.redis", "add store.redis, or read it from a list"},
	needless:        {"means nothing with %s", "%s"},
	tooMany:         {"has %d entries", "write at most %d"},
	notNumber:       {"%q is not a number", "write digits and at most a point: 3 or 0.5"},
	notSince:        {"%q is not a time", "write 2026-11-27, 2026-11-27T20:00:00+08:00, or seconds since 1970"},
	onlyListed:      {"is about a value, but a set says only who is in it", "write listed: true or listed: false"},
	noChallenge:     {"needs a challenge, and the sale has none", "add challenge: {} to the sale, or write 0"},
	noBehaviour:     {"counts points, but the sale has no behaviour that gives any", "add behaviour to the sale, or remove it"},
	noLadder:        {"gives points that nobody counts, the sale has no ladder", "add ladder: {} to the sale, or remove it"},
	notRising:       {"%d is not above %s, which is %d", "let the steps rise, or write 0 for a step that shall never be reached"},
	noPoints:        {"gives no points at all", "give some, or remove it"},
	noPage:          {"counts on who has looked at page, and there is none", `add page: "/p/**", or write 0`},
	emptySecret:     {"%s is empty", "put the secret in it that the provider has given you"},
	notSiteKey:      {"%q cannot be a site key", "write it as the provider shows it, on one line"},
	notURL:          {"%q is not a web address", `write "https://challenges.example/verify", without quotes, blanks or # in it`},
	notClass:        {"%q cannot be a class", "use letters, digits, _ and - only, and begin with a letter"},
	notField:        {"%q cannot be the name of a field", "use letters, digits, . _ and - only"},
	noSubject:       {"has nothing in front of the comma", "write whom it is about: alice,3"},
	looseHash:       {"%q begins with # and is neither a comment nor a hashed account", "put a blank behind # for a comment; a hashed account is # and 16 of 0-9 and a-f"},
	notAddressed:    {"%q is not an address or network, though it looks like one", "write 192.0.2.7 or 192.0.2.0/24, and a comma before anything else"},
	bansAll:         {"%s is everybody", "name smaller networks"},
	otherValue:      {"%q stands here before, with another value", "keep one of the two"},
	longLine:        {"is longer than %s", "write one account, address or network in each line"},
	longText:        {"is longer than %d bytes", "shorten it"},
	moreLines:       {"%s has %d more lines that are not right", "mend those above first"},
}

// say makes the fault of one kind.
func (r *reader) say(line int, key string, k kind, args ...any) {
	w := wording[k]
	n := strings.Count(strings.ReplaceAll(w.wrong, "%%", ""), "%")
	r.faults = append(r.faults, Fault{
		File: r.file, Line: line, Key: key, kind: k,
		Wrong: fmt.Sprintf(w.wrong, args[:n]...),
		Right: fmt.Sprintf(w.right, args[n:]...),
	})
}
