// work searches for a number n whose SHA-256 of "SEED:PART:n" begins with that many zero
// bits. It answers a function that tries that many numbers more, and answers n or -1.
// Own SHA-256 (FIPS 180-4): crypto.subtle is missing on plain HTTP, and is called so
// dearly that this is ten times faster. Numbers have ten digits or more, so that only
// words of the last block change from one to the next.
function work(seed, part, bits) {
  var K = [], H = [], W = new Int32Array(64), S = new Int32Array(8), n, i, j;
  for (n = 2; K.length < 64; n++) {
    for (j = 2; j * j <= n && n % j; j++);
    if (j * j <= n) continue;
    if (H.length < 8) H.push(Math.sqrt(n) * 4294967296 | 0);
    K.push(Math.pow(n, 1 / 3) * 4294967296 | 0);
  }
  K = Int32Array.from(K);
  function compress(block, at) {
    var a = S[0], b = S[1], c = S[2], d = S[3], e = S[4], f = S[5], g = S[6], h = S[7], i, x, y;
    for (i = 0; i < 16; i++) W[i] = block[at + i];
    for (; i < 64; i++) {
      x = W[i - 15]; y = W[i - 2];
      W[i] = W[i - 16] + W[i - 7] + ((x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3) + ((y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10) | 0;
    }
    for (i = 0; i < 64; i++) {
      x = h + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) + (g ^ e & (f ^ g)) + K[i] + W[i] | 0;
      y = ((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) + (a & b | c & (a | b)) | 0;
      h = g; g = f; f = e; e = d + x | 0; d = c; c = b; b = a; a = x + y | 0;
    }
    S[0] += a; S[1] += b; S[2] += c; S[3] += d; S[4] += e; S[5] += f; S[6] += g; S[7] += h;
  }
  var block, head, last, base;
  // lay writes the padded message; what is before its last blocks is hashed once.
  function lay() {
    var text = seed + ':' + part + ':' + n, length = text.length, words = (length + 72 >> 6) * 16;
    block = new Int32Array(words);
    for (i = 0; i < length; i++) block[i >> 2] |= text.charCodeAt(i) << 24 - 8 * (i & 3);
    block[length >> 2] |= 128 << 24 - 8 * (length & 3);
    block[words - 1] = length * 8;
    last = length - 1;
    S.set(H);
    for (head = 0; head < (length - String(n).length >> 6) * 16; head += 16) compress(block, head);
    base = S.slice();
  }
  // next counts up by one in the digits that stand in the block.
  function next() {
    var at = last, digit;
    n++;
    for (;; at--) {
      digit = 24 - 8 * (at & 3);
      if ((block[at >> 2] >>> digit & 255) < 57) break;
      if ((block[at >> 2] >>> digit & 255) > 57) return lay(); // the colon: one more digit
      block[at >> 2] -= 9 << digit;
    }
    block[at >> 2] += 1 << digit;
  }
  var one = bits > 31 ? -1 : ~(-1 >>> bits), two = bits > 63 ? -1 : bits > 32 ? ~(-1 >>> bits - 32) : 0;
  n = 1e9;
  lay();
  return function (tries) {
    for (; tries > 0; tries--) {
      S.set(base);
      for (var at = head; at < block.length; at += 16) compress(block, at);
      if (!(S[0] & one) && !(S[1] & two)) return n;
      next();
    }
    return -1;
  };
}
