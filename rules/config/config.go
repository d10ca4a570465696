// Package config reads one YAML file and compiles it to a rules.Set, or tells every
// fault of the file at once, each with its line and with what would be right.
//
// It reads over the YAML nodes, so that what a value means is decided here and by
// the text as written. It is strict where YAML is generous: no aliases, tags, second
// documents, octal numbers or words that happen to be booleans.
//
// It does not watch the file, open a store, or look at the time: a sale that is over
// is not a fault. The files that the file names are read once, at load.
package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"gopkg.in/yaml.v3"

	"penstock/rules"
)

// The largest files that are read.
const (
	maxFile   = 4 << 20
	maxBeside = 1 << 20
)

// Load reads and compiles the file. Names of files in it are relative to it. On
// faults the error is a Faults with every fault of the file.
func Load(path string) (*rules.Set, error) {
	r := &reader{file: path}
	raw, err := readFile(path, maxFile)
	switch {
	case err != nil:
		r.say(1, "file", unreadable, filepath.Base(path), reasonOf(err))
	case len(raw) > maxFile:
		r.say(1, "file", tooLarge, filepath.Base(path), sizeText(maxFile))
	}
	if len(r.faults) > 0 {
		return nil, r.faults
	}
	return r.compile(raw)
}

// compile is Load once the file is read. It gives either a set or faults.
func (r *reader) compile(raw []byte) (*rules.Set, error) {
	doc := r.document(raw)
	if doc == nil {
		return nil, r.faults.sorted()
	}
	top := value{r: r, key: &root}.with(doc.Line, doc)
	if top.node == nil {
		return nil, r.faults.sorted()
	}
	set := r.set(top)
	if len(r.faults) > 0 {
		return nil, r.faults.sorted()
	}
	sum := sha256.Sum256(raw)
	set.File, set.Hash = r.file, hex.EncodeToString(sum[:])
	return set, nil
}

// readFile reads at most one byte more than limit. Only regular files: others may
// never end, or not begin.
func readFile(path string, limit int) ([]byte, error) {
	f, _, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, int64(limit)+1))
}

// openFile opens a regular file, and says how many bytes it has.
func openFile(path string) (*os.File, int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	f, err := os.Open(path)
	return f, info.Size(), err
}

// document gives the top node of the file's one document, or nil.
func (r *reader) document(raw []byte) *yaml.Node {
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF) || err == nil && doc.Content[0].ShortTag() == "!!null":
		r.say(1, "file", emptyFile)
		return nil
	case err != nil:
		r.syntax(raw, err)
		return nil
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		r.say(second.Line, "yaml", secondDocument)
	case !errors.Is(err, io.EOF):
		r.syntax(raw, err)
	}
	r.checkNodes(&doc)
	return doc.Content[0]
}

var (
	yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?([^\n]*)`)
	// Where the parser, not the scanner, is at a loss, it counts lines from 0.
	fromZero  = regexp.MustCompile(`^did not find expected (<document start>|node content|'-' indicator|key|',' or .*)$`)
	tabIndent = regexp.MustCompile(`(?m)^ *\t`)
)

// syntax tells why the file is not YAML. The parser's word for a tab is a riddle, so
// that is looked for here.
func (r *reader) syntax(raw []byte, err error) {
	if at := tabIndent.FindIndex(raw); at != nil {
		r.say(1+bytes.Count(raw[:at[0]], []byte("\n")), "yaml", tab)
		return
	}
	line, why := 1, err.Error()
	if m := yamlError.FindStringSubmatch(why); m != nil {
		why = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
		if m[1] != "" && fromZero.MatchString(why) {
			line++
		}
	}
	r.say(line, "yaml", badYAML, why)
}

// set compiles the whole file.
func (r *reader) set(v value) *rules.Set {
	s := &rules.Set{
		Listen:         v.at("listen").hostPort(true),
		TrustedProxies: v.at("trusted_proxies").prefixes(),
		TLS:            front(v.at("tls")),
		ClientIPHeader: v.at("client_ip").at("header").token(),
		ProxyProtocol:  v.at("client_ip").at("proxy_protocol").boolean(),
		Client:         client(v.at("client")),
		Shutdown:       shutdown(v.at("shutdown")),
		Secret:         secret(v.at("secret_file")),
		Admin:          admin(v.at("admin")),
		Origin:         origin(v.at("origin")),
		Store:          store(v.at("store")),
		Answers:        overrides(v.at("answers")),
	}
	if s.ProxyProtocol && !v.at("trusted_proxies").given {
		v.at("client_ip").at("proxy_protocol").fault(nobodyTrusted)
	}
	v.at("listen").require(`":8080"`)
	for _, p := range v.at("trusted_proxies").entries() {
		if p.prefix().Bits() == 0 {
			p.fault(trustsAll, p.node.Value)
		}
	}
	if h := v.at("health"); h.node != nil && h.at("listen").require(`":9901"`) {
		s.Health = h.at("listen").hostPort(true)
	}
	r.listeners(v, s)
	s.Routes = routes(v.at("routes"))
	s.Sales = r.sales(v, s)
	s.CacheBytes = cacheBytes(v, s)
	s.Bans, s.Decisions = bans(v.at("bans")), decisions(v.at("decisions"))
	return s
}

// listeners tells of two that want the same port, and of a gateway that would
// forward to itself.
func (r *reader) listeners(v value, s *rules.Set) {
	admin, health := v.at("admin").at("listen"), v.at("health").at("listen")
	if clash(s.Admin.Listen, s.Listen) {
		admin.fault(sameListener, s.Admin.Listen, "listen")
	}
	if clash(s.Health, s.Listen) {
		health.fault(sameListener, s.Health, "listen")
	}
	if clash(s.Health, s.Admin.Listen) {
		health.fault(sameListener, s.Health, "admin.listen")
	}
	if o := s.Origin; o.Network == "tcp" && loopback(o.Address) && clash(o.Address, s.Listen) {
		v.at("origin").at("url").fault(originIsSelf, o.Address)
	}
}

func client(v value) rules.Client {
	return rules.Client{
		Header:    v.at("header").duration(shortest),
		Body:      v.at("body").duration(shortest),
		Idle:      v.at("idle").duration(shortest),
		MaxHeader: int(v.at("max_header").size(1<<10, 1<<20)),
		MaxBody:   v.at("max_body").size(1, 1<<40),
	}
}

func shutdown(v value) rules.Shutdown {
	return rules.Shutdown{Delay: v.at("delay").duration(0), Timeout: v.at("timeout").duration(shortest)}
}

// admin reads the operators' listener. Without a token it must not be reachable from
// other machines: whoever reaches it can empty a sale.
func admin(v value) rules.Admin {
	a := rules.Admin{Listen: v.at("listen").hostPort(true)}
	file := v.at("token_file")
	token, ok := file.beside(maxBeside)
	a.Token = string(token)
	switch {
	case ok && len(token) < minToken:
		file.fault(shortSecret, file.node.Value, len(token), minToken)
	case file.text() == "" && !loopback(a.Listen) && a.Listen != "":
		file.fault(openAdmin, a.Listen)
	}
	return a
}

// The least a secret holds: 32 random bytes cannot be guessed, 16 printed ones
// cannot over a network.
const (
	minSecret = 32
	minToken  = 16
)

// secret reads what signs passes and visitors; nil: the gateway makes its own.
func secret(v value) []byte {
	raw, ok := v.beside(maxBeside)
	if ok && len(raw) < minSecret {
		v.fault(shortSecret, v.node.Value, len(raw), minSecret)
	}
	return raw
}
