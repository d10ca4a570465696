var main = document.querySelector('main'), puzzle = JSON.parse(byID('puzzle').textContent);
var bar = byID('bar'), say = byID('say'), again = byID('again'), typed = byID('typed');
var repost = main.dataset.repost === '1', url = puzzle.answer_url, finished = false, shown = Date.now();
var goBack = repost ? ' Go back to the shop and press the button again.' : '';

function byID(id) { return document.getElementById(id); }
function tell(text) { if (say.textContent !== text) say.textContent = text; }
function progress(percent) {
  bar.hidden = false;
  bar.setAttribute('aria-valuenow', percent);
  bar.firstElementChild.style.width = percent + '%';
}
// offer shows the button; what it did before is forgotten.
function offer(label, then) {
  again.textContent = label;
  again.hidden = false;
  again.onclick = function () { again.hidden = true; then(); };
}
function end(title, text) {
  finished = true;
  bar.hidden = true;
  if (typed) typed.hidden = byID('offer').hidden = true;
  byID('title').textContent = document.title = title;
  tell(text);
}
function noCookies() {
  end('Cookies are off', 'Your browser keeps no cookies for this shop, so the shop could not tell that you have passed the check. Allow cookies for this site.' + (goBack || ' Then try again.'));
  if (!repost) offer('Try again', function () { location.reload(); });
}
// keepsCookies tries: navigator.cookieEnabled is true in browsers that keep none of this site.
function keepsCookies() {
  try {
    document.cookie = 'penstock_probe=1; Max-Age=60; SameSite=Lax';
    var kept = document.cookie.indexOf('penstock_probe=1') >= 0;
    document.cookie = 'penstock_probe=; Max-Age=0; SameSite=Lax';
    return kept;
  } catch (e) { return false; }
}

// The work: in workers, one part each at a time; in the page where there are none.
function serve() {
  onmessage = function (e) {
    var step = work(e.data.seed, e.data.part, e.data.bits), n;
    do postMessage({ part: e.data.part, n: n = step(32768), tried: 32768 }); while (n < 0);
  };
}
function mine() {
  var expected = Math.pow(2, puzzle.bits), found = [], tried = [], left = puzzle.parts, queue = 0, workers = [], began = Date.now(), said = 0, i;
  for (i = 0; i < puzzle.parts; i++) { found.push(-1); tried.push(0); }
  function job() { return { seed: puzzle.seed, part: queue++, bits: puzzle.bits }; }
  function stop() { workers.forEach(function (w) { w.terminate(); }); workers = []; }
  function heard(m) {
    tried[m.part] += m.tried;
    if (m.n >= 0) { found[m.part] = m.n; left--; }
    if (finished) return stop();
    if (!left) { stop(); progress(100); return send({ work: found.join(',') }); }
    var share = 0, all = 0;
    tried.forEach(function (t, i) { all += t; share += found[i] >= 0 ? 1 : 1 - Math.exp(-t / expected); });
    progress(Math.min(99, Math.floor(100 * share / puzzle.parts)));
    if (Date.now() - said > 5000) { // not oftener: it is read aloud
      said = Date.now();
      var s = Math.ceil(left * expected / (all / (said - began + 1)) / 1000);
      tell(s > 3 ? 'Your browser is working on it: about ' + (s > 90 ? Math.ceil(s / 60) + ' minutes' : s + ' seconds') + ' to go. You need do nothing.' : 'Your browser is working on it: nearly done.');
    }
  }
  function inPage() {
    queue = 0;
    (function one() {
      while (queue < puzzle.parts && found[queue] >= 0) queue++;
      if (queue === puzzle.parts) return;
      var j = job(), step = work(j.seed, j.part, j.bits);
      (function slice() {
        var n = finished ? 0 : step(8192);
        heard({ part: j.part, n: n, tried: 8192 });
        if (!finished) setTimeout(n < 0 ? slice : one, 0);
      })();
    })();
  }
  progress(0);
  tell('Your browser is working on it. You need do nothing.');
  try {
    var code = URL.createObjectURL(new Blob([work + '\n(' + serve + ')()']));
    for (i = Math.min(4, navigator.hardwareConcurrency || 2, puzzle.parts); i > 0; i--) {
      var w = new Worker(code);
      workers.push(w);
      w.onerror = function (e) { e.preventDefault(); if (workers.length) { stop(); inPage(); } };
      w.onmessage = function (e) {
        if (!workers.length) return;
        heard(e.data);
        if (e.data.n >= 0 && queue < puzzle.parts) this.postMessage(job());
      };
      w.postMessage(job());
    }
  } catch (e) { stop(); inPage(); }
}

// The answer.
function send(fields) {
  var wait = shown + (puzzle.wait_ms || 0) - Date.now();
  tell('The answer is being checked.');
  if (wait > 0) return setTimeout(function () { send(fields); }, wait + 50);
  fields.token = puzzle.token;
  ask(url, { method: 'POST', body: new URLSearchParams(fields) }).then(function (a) {
    if (a.status === 200) return ask(url + '?sale=' + encodeURIComponent(a.body.sale)).then(function (b) {
      if (b.status === 200 && !b.body.kept) noCookies(); else thank();
    }, thank);
    if (a.status === 503) return retry(a.body.detail);
    end('That did not work', a.body.detail);
    if (!repost) offer('Try again', function () { location.reload(); });
  }).catch(function () { retry('The shop cannot be reached right now.'); });
  function retry(why) {
    tell(why + ' Your answer is kept here: send it again in a moment.');
    offer('Send it again', function () { send(fields); });
  }
}
function ask(to, options) {
  options = options || {};
  options.headers = { Accept: 'application/json' };
  options.cache = 'no-store';
  return fetch(to, options).then(function (r) { return r.json().then(function (body) { return { status: r.status, body: body }; }); });
}
function thank() {
  end('Thank you', repost ? 'That was all.' + goBack : 'That was all. One moment…');
  if (repost) return byID('back').focus();
  remember(Date.now());
  location.reload();
}
// remember keeps when this page last went on by itself, so that it does so once only.
function remember(at) {
  try {
    if (!at) return +sessionStorage.getItem('penstock_passed');
    sessionStorage.setItem('penstock_passed', at);
  } catch (e) { return 0; }
}

// Another provider's widget.
function widget() {
  var remote = puzzle.remote, box = byID('widget'), script = document.createElement('script'), poll, patience;
  tell('Please wait for the check to appear, and follow it.');
  box.className = remote.class;
  box.setAttribute('data-sitekey', remote.site_key);
  script.src = remote.script;
  script.async = true;
  script.onerror = lost;
  patience = setTimeout(lost, 15000);
  poll = setInterval(function () {
    if (finished) return clearInterval(poll);
    if (box.firstElementChild) clearTimeout(patience);
    var fields = document.getElementsByName(remote.field);
    for (var i = 0; i < fields.length; i++) if (fields[i].value) {
      clearInterval(poll);
      clearTimeout(patience);
      return send({ remote: fields[i].value });
    }
  }, 250);
  document.head.appendChild(script);
  function lost() {
    if (finished || box.firstElementChild) return;
    clearInterval(poll);
    clearTimeout(patience);
    script.remove();
    var why = 'The check comes from ' + new URL(remote.script, location.href).host + ' and could not be loaded: a blocker or your network may keep it away. ';
    if (puzzle.seed) { byID('lost').textContent = why + 'Your browser does some work instead.'; return mine(); }
    tell(why + 'Allow it, then try again.');
    offer('Try again', widget);
  }
}

if (typed) {
  byID('offer').onclick = function () {
    byID('image').src = puzzle.captcha.image;
    typed.hidden = false;
    byID('offer').hidden = true;
    byID('text').focus();
  };
  byID('sound').onclick = function (e) {
    e.preventDefault();
    fetch(puzzle.captcha.sound).then(function (r) { if (!r.ok) throw r; return r.blob(); }).then(function (b) {
      return new Audio(URL.createObjectURL(b)).play();
    }).catch(function () { location.href = puzzle.captcha.sound; });
  };
}
byID('back').onclick = function (e) { if (history.length > 1) { e.preventDefault(); history.back(); } };

function start() {
  if (puzzle.remote) widget(); else if (puzzle.seed) mine(); else if (typed) { tell('Please type the digits below.'); byID('offer').onclick(); }
}
if (!keepsCookies()) noCookies();
else if (!repost && Date.now() - remember() < 60000) {
  tell('You have just passed a check, and the shop asks for another one. If this goes on, allow cookies for this site.');
  offer('Do it', start);
} else start();
