/* Switchyard's page tag: README, "Tracking pages". It stores nothing without consent.
 * <script async src="https://edge.example/_/tag.js" data-project="UUID"></script> */
(() => {
  "use strict";
  const script = document.currentScript;
  const early = window.switchyard || {};
  if (!script?.src || early.track) return;

  const options = script.dataset;
  const endpoint = new URL("/_/", script.src);
  const auto = options.auto ?? "visits outbound marked";
  // Parameters whose values are never sent, and those that wait for consent where it is required.
  const SECRET = /pass|pwd|secret|token|e-?mail|phone|session|auth(?!or)|api.?key/i;
  const CLICK_ID = /^.(click_id|\w*clk?id|[gw]braid)$/i;

  let mayIdentify = options.consent !== "required";
  let clientId, clickId, visitId;
  let here; // path and query of the visit
  let unseen; // URL and referrer of a visit that nobody has seen yet
  let queue = []; // of {kind, json}
  let sending; // one of them
  let waiting; // to send the next
  let failures = 0;
  let leaving;

  const safely = (work) => (...given) => {
    try {
      return work(...given);
    } catch (error) {
      console.warn("switchyard:", error);
    }
  };

  const newId = () =>
    Date.now().toString(16).padStart(12, "0").replace(/.{8}/, "$&-") +
    "-7xxx-8xxx-xxxxxxxxxxxx".replace(/x/g, () => (crypto.getRandomValues(new Uint8Array(1))[0] % 16).toString(16));

  const knownClick = () => (mayIdentify ? clickId : "");

  const clean = (url) =>
    /^http/.test(url) ? url.replace(/#.*/, "").replace(/([?&][^=&]*)=[^&]*/g, (pair, name) =>
      SECRET.test(name) || (!mayIdentify && CLICK_ID.test(name)) ? name + "=" : pair).slice(0, 2048) : "";

  const load = safely((storage) => JSON.parse(window[storage].switchyard || "{}"));

  const keep = safely((storage, value) => {
    if (value) window[storage].switchyard = JSON.stringify(value);
    else delete window[storage].switchyard;
  });

  const save = () => {
    keep("localStorage", clientId && { clientId, queue, at: Date.now() });
    keep("sessionStorage", clientId && { clickId });
  };

  const put = (kind, fields) => {
    const json = JSON.stringify({ project: options.project, visit_id: visitId, ...fields },
      (name, value) => typeof value === "number" ? String(value) : value);
    if (json.length > 16000) throw RangeError("too long");
    if (queue.length > 49) queue.splice(queue.findIndex((item) => item.kind !== "event"), 1);
    queue.push({ kind, json });
    if (leaving) leave();
    else flush();
  };

  const flush = async () => {
    if (waiting || !queue[0]) return;
    waiting = true;
    sending = queue[0];
    const { kind, json } = sending;
    let status = 999, pause;
    try {
      const answer = await fetch(endpoint + kind, { method: "POST", body: json, keepalive: true, credentials: "omit" });
      status = answer.status;
      pause = answer.headers.get("Retry-After") * 1000;
      const { visit_id } = await answer.json();
      if (kind === "visit" && visit_id) {
        const ours = JSON.parse(json).visit_id;
        if (visitId === ours) visitId = visit_id;
        for (const item of queue) item.json = item.json.replace(ours, visit_id);
      }
    } catch {}
    const failed = status === 429 || status > 499;
    if (!failed) queue = queue.filter((item) => item !== sending);
    failures = failed ? failures + 1 : 0;
    sending = 0;
    if (clientId) save();
    waiting = failures < 8;
    if (waiting) setTimeout(() => {
      waiting = false;
      flush();
    }, failures && (pause || 2 ** failures * 500) * (1 + Math.random() / 2));
  };

  const leave = () => {
    for (const kind of ["visit", "click", "event"]) {
      const items = queue.filter((item) => item.kind === kind && item !== sending);
      if (items[0] && navigator.sendBeacon(endpoint + kind, `[${items.map((item) => item.json)}]`))
        queue = queue.filter((item) => !items.includes(item));
    }
    if (clientId) save();
  };

  const begin = (referrer) => {
    here = location.pathname + location.search;
    clickId = new URLSearchParams(location.search).get("click_id")?.slice(0, 255) || clickId;
    if (!auto.includes("visits")) return;
    visitId = newId();
    unseen = [location.href, referrer];
  };

  const arrive = () => {
    if (!unseen || document.prerendering || document.visibilityState === "hidden") return;
    const [url, referrer] = unseen.map(clean);
    unseen = 0;
    put("visit", { click_id: knownClick(), client_id: clientId, url, referrer });
  };

  const moved = (replaced) => {
    const before = here;
    here = location.pathname + location.search;
    // A URL that only loses parameters is tidied.
    const tidied = replaced && before.startsWith(here) && "?&".includes(before[here.length]);
    if (here !== before && !tidied) begin(location.origin + before);
    arrive();
  };

  const clicked = (event) => {
    const find = (selector) => event.composedPath()[0].closest?.(selector);
    const link = find("a[href],area[href]");
    const web = /^http/.test(link?.protocol);
    if (web && options.forward && link.matches(options.forward) && knownClick() && !/[?&]click_id=/.test(link.search))
      link.search += (link.search && "&") + "click_id=" + encodeURIComponent(clickId);
    const element = (auto.includes("marked") && find("[data-switchyard-click]")) ||
      (auto.includes("outbound") && web && link.host !== location.host && link);
    if (element && event.button < 2) put("click", {
      id: newId(),
      target_url: clean(link?.href),
      element_type: element.dataset.switchyardClick || element.localName,
      element_text: element.textContent.trim().match(/^.{0,255}/su)[0],
      url: clean(location.href),
    });
  };

  const track = (event, fields) => {
    if (!/^(checkout|sale|upsell)$/.test(event)) throw TypeError(event);
    const id = String(fields?.id || newId());
    put("event", { click_id: knownClick(), ...fields, event, id });
    return id;
  };

  const consent = (given) => {
    mayIdentify = given === true || options.consent !== "required";
    clientId = given === true && !navigator.globalPrivacyControl ? clientId || newId() : "";
    save();
  };

  const pageChanged = ({ type, persisted }) => {
    if (/page/.test(type)) leaving = type === "pagehide";
    if (persisted && !leaving) begin(document.referrer);
    arrive();
    if (leaving || document.visibilityState === "hidden") leave();
  };

  const api = { track: safely(track), consent: safely(consent) };
  const run = safely(([name, ...given]) => api[name](...given));
  window.switchyard = { ...api, q: { push: run } };

  safely(() => {
    const kept = load("localStorage") || {};
    if (kept.clientId) {
      clientId = kept.clientId;
      clickId = load("sessionStorage").clickId;
      consent(true);
      if (clientId && Date.now() - kept.at < 864e5) queue = kept.queue;
    }
    begin(document.referrer);
    (early.q || []).forEach(run);
    arrive();
    flush();

    const on = (type, work) => addEventListener(type, safely(work), true);
    on("click", clicked);
    on("auxclick", clicked);
    for (const type of ["visibilitychange", "prerenderingchange", "pagehide", "pageshow"]) on(type, pageChanged);
    if (options.spa === "off") return;
    on("popstate", () => moved());
    for (const name of ["pushState", "replaceState"]) {
      const original = history[name];
      history[name] = (...given) => {
        const result = original.apply(history, given);
        safely(moved)(name === "replaceState");
        return result;
      };
    }
  })();
})();
