package proxy

// The headers that the proxy itself has an opinion on, by name. It does not look at values.

// known is a header the proxy itself has an opinion on.
type known uint8

const (
	other known = iota
	hHost
	hAccept
	hConnection
	hContentLength
	hContentType
	hCookie
	hExpect
	hForwarded // X-Forwarded-*, Forwarded, X-Real-Ip …: addresses and names a client may forge
	hHop       // hop-by-hop, never forwarded
	hOverride  // asks the shop to read another method than was sent
	hPenstock
	hRequestID
	hTransferEncoding
	hXFF
)

// classify names the headers the proxy has an opinion on. "_" counts as "-", because
// CGI and PHP cannot tell the two apart.
func classify(name []byte) known {
	switch name[0] | 0x20 {
	case 'a':
		if equalFold(name, "Accept") {
			return hAccept
		}
	case 'c':
		switch {
		case equalFold(name, "Cookie"):
			return hCookie
		case equalFold(name, "Connection"):
			return hConnection
		case equalFold(name, "Content-Length"):
			return hContentLength
		case equalFold(name, "Content-Type"):
			return hContentType
		case equalFold(name, "Cf-Connecting-Ip"), equalFold(name, "Client-Ip"):
			return hForwarded
		}
	case 'e':
		if equalFold(name, "Expect") {
			return hExpect
		}
	case 'f':
		if equalFold(name, "Forwarded") || equalFold(name, "Forwarded-For") || equalFold(name, "Fastly-Client-Ip") {
			return hForwarded
		}
	case 'h':
		if equalFold(name, "Host") {
			return hHost
		}
	case 'k':
		if equalFold(name, "Keep-Alive") {
			return hHop
		}
	case 'p':
		if len(name) >= 9 && equalFold(name[:9], "Penstock-") {
			return hPenstock
		}
		if equalFold(name, "Proxy-Connection") || equalFold(name, "Proxy-Authorization") {
			return hHop
		}
	case 't':
		switch {
		case equalFold(name, "Transfer-Encoding"):
			return hTransferEncoding
		case equalFold(name, "Te"), equalFold(name, "Trailer"):
			return hHop
		case equalFold(name, "True-Client-Ip"):
			return hForwarded
		}
	case 'u':
		if equalFold(name, "Upgrade") {
			return hHop
		}
	case 'x':
		return classifyX(name)
	}
	return other
}

func classifyX(name []byte) known {
	switch {
	case equalFold(name, "X-Forwarded-For"):
		return hXFF
	case len(name) > 12 && equalFold(name[:12], "X-Forwarded-"),
		equalFold(name, "X-Real-Ip"), equalFold(name, "X-Client-Ip"), equalFold(name, "X-Cluster-Client-Ip"),
		equalFold(name, "X-Forwarded"), equalFold(name, "X-Original-Forwarded-For"):
		return hForwarded
	case equalFold(name, "X-Request-Id"):
		return hRequestID
	case equalFold(name, "X-Original-Url"), equalFold(name, "X-Rewrite-Url"):
		return hHop // some shops serve that path instead of the one we looked at
	case equalFold(name, "X-Http-Method-Override"), equalFold(name, "X-Http-Method"),
		equalFold(name, "X-Method-Override"):
		return hOverride
	}
	return other
}

// equalFold compares a header name with one of ours, without case and with "_" as "-".
func equalFold(name []byte, ours string) bool {
	if len(name) != len(ours) {
		return false
	}
	for i, c := range name {
		if c == '_' {
			c = '-'
		}
		if d := ours[i]; c != d && (c|0x20 != d|0x20 || d|0x20 < 'a' || d|0x20 > 'z') {
			return false
		}
	}
	return true
}
