/*!
 * The website side of a campaign's trigger. No dependencies, no cookies of third parties.
 *
 *   <script src="https://collect.example/tracker.js" data-source="web" defer></script>
 *
 * Sends `page-view` when a page is shown and when its address changes, and what the page tracks:
 *
 *   selfsame.track("add-to-cart", { sku: "TEA-50" });
 *
 * Each goes to /collect/{type}/{source}/{session} as JSON under text/plain, which browsers send
 * without asking first (no preflight). What is not sent yet when the page is left goes by beacon.
 */
(function () {
  "use strict";

  var script = document.currentScript || document.querySelector("script[data-source][src]");
  var source = script && script.getAttribute("data-source");
  if (!source) {
    console.error("selfsame: expected the tracker's script element to have data-source");
    return;
  }
  var before = window.selfsame;
  if (before && before.session) return; // loaded twice

  // Beside the script, so that a proxy may put both under a path of its own.
  var base = new URL("collect/", new URL(script.src, location.href)).href;
  var KEY = "selfsame.session";
  var IDLE_MS = 30 * 60 * 1000; // after so long without an event, a new session begins
  var WAITING = 100; // events kept while nothing can be sent; the oldest go first
  var TRIES = 3; // of one event, as long as the page is there
  var WAIT_MS = 5000; // between two of them, doubled each time

  // The session -------------------------------------------------------------------------------

  var remembered = null; // where neither storage nor cookie is to be had

  function random() {
    var bytes = crypto.getRandomValues(new Uint8Array(16));
    var text = "";
    for (var i = 0; i < bytes.length; i++) text += (bytes[i] + 256).toString(16).slice(1);
    return text;
  }

  function load() {
    try {
      var kept = localStorage.getItem(KEY);
      if (kept) return kept;
    } catch (_) {
      // Storage is forbidden here.
    }
    var found = document.cookie.match(/(?:^|; )selfsame\.session=([^;]*)/);
    return found ? found[1] : remembered;
  }

  function keep(text) {
    remembered = text;
    try {
      localStorage.setItem(KEY, text);
    } catch (_) {
      document.cookie = KEY + "=" + text + "; path=/; max-age=1800; samesite=lax";
    }
  }

  // The id, and when it was last used: "4f1c…/1767225600000".
  function session() {
    var parts = (load() || "").split("/");
    var isFresh = /^[0-9a-f]{32}$/.test(parts[0]) && Date.now() - Number(parts[1]) < IDLE_MS;
    var id = isFresh ? parts[0] : random();
    keep(id + "/" + Date.now());
    return id;
  }

  // Sending -----------------------------------------------------------------------------------

  var queue = []; // what no answer came to, in order
  var isBusy = false;

  function put(type, properties) {
    var body = {};
    for (var name in properties) body[name] = properties[name];
    body.event_id = random();
    body.occurred_at = new Date().toISOString();
    var path = [type, source, session()].map(encodeURIComponent).join("/");
    queue.push({ url: base + path, body: JSON.stringify(body), tries: 0, isSent: false });
    if (queue.length > WAITING) queue.shift();
    send();
  }

  function send() {
    var next = queue[0];
    if (isBusy || !next) return;
    isBusy = next.isSent = true;
    next.tries += 1;
    fetch(next.url, {
      method: "POST",
      headers: { "content-type": "text/plain" },
      body: next.body,
      credentials: "omit",
      keepalive: next.body.length < 50000 // goes on when the page is left; browsers allow 64 KiB
    }).then(
      function (answer) {
        var isLater = answer.status === 429 || answer.status === 503;
        over(next, isLater ? Number(answer.headers.get("retry-after")) * 1000 || WAIT_MS : 0);
      },
      function () {
        over(next, WAIT_MS * Math.pow(2, next.tries - 1));
      }
    );
  }

  function over(item, waitMs) {
    item.isSent = false;
    if (waitMs && item.tries < TRIES) {
      setTimeout(function () {
        isBusy = false;
        send();
      }, waitMs);
      return;
    }
    var at = queue.indexOf(item);
    if (at >= 0) queue.splice(at, 1);
    isBusy = false;
    send();
  }

  // What waits for its turn would wait for ever once the page is gone.
  function leave() {
    queue = queue.filter(function (item) {
      if (item.isSent) return true; // under way, and kept alive
      return !navigator.sendBeacon(item.url, new Blob([item.body], { type: "text/plain" }));
    });
  }

  // Page views --------------------------------------------------------------------------------

  var shown = null;

  function view() {
    if (location.href === shown) return;
    var referrer = shown || document.referrer;
    shown = location.href;
    put("page-view", {
      page: {
        url: location.href,
        path: location.pathname,
        query: location.search.slice(1),
        title: document.title,
        referrer: referrer
      }
    });
  }

  function watch(name) {
    var original = history[name];
    history[name] = function () {
      var result = original.apply(this, arguments);
      view();
      return result;
    };
  }

  function begin() {
    if (script.getAttribute("data-page-views") !== "off") {
      watch("pushState");
      watch("replaceState");
      addEventListener("popstate", view);
      addEventListener("hashchange", view);
      addEventListener("pageshow", function (event) {
        if (!event.persisted) return;
        shown = null; // back from the cache: seen once more
        view();
      });
      view();
    }
    var early = (before && before.queue) || [];
    for (var i = 0; i < early.length; i++) put(early[i][0], early[i][1]);
  }

  addEventListener("pagehide", leave);
  document.addEventListener("visibilitychange", function () {
    if (document.visibilityState === "hidden") leave();
  });

  window.selfsame = {
    /** Sends an event of the session: a type such as "add-to-cart", and an object of properties. */
    track: function (type, properties) {
      put(String(type), properties || {});
    },
    /** The session's id, for a server that wants to name it too. */
    session: session
  };

  if (document.prerendering) document.addEventListener("prerenderingchange", begin, { once: true });
  else begin();
})();
