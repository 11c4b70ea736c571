/* Switchyard's page tag: README, "Tracking pages". It stores nothing without consent. */
(() => {
  "use strict";
  const script = document.currentScript;
  const early = window.switchyard;
  if (!script?.src || early?.track) return;

  const options = script.dataset;
  const endpoint = new URL("/_/", script.src);
  const auto = options.auto ?? "visits outbound marked";
  // Parameters whose values are never sent, and those that later routes keep.
  const SECRET = /pass|pwd|secret|token|e-?mail|phone|session|auth(?!or)|api.?key/i;
  const CAMPAIGN = /\b(utm_\w+|campaign(id)?|ad_?group(id)?|keyword|network|device|(g|fb|tt)clid)=[^&]+/gi;
  const FRAGMENT = options.spa === "hash" ? /#(?![/!]).*/ : /#.*/;

  let allowed = options.consent !== "required" || undefined; // to send; false: refused
  let clientId, clickId, visitId;
  let campaign = {}; // parameters by name
  let unseen; // visit
  let queue = []; // of {kind, fields}
  let busy; // the item on its way; true: it comes again
  let failures = 0;

  const warn = (error) => console.warn("switchyard:", error);

  const safely = (work) => (...given) => {
    try {
      return work(...given);
    } catch (error) {
      warn(error);
    }
  };

  const newId = () =>
    Date.now().toString(16).padStart(12, "0").replace(/.{8}/, "$&-") +
    "-7xxx-8xxx-xxxxxxxxxxxx".replace(/x/g, () => (Math.random() * 16 | 0).toString(16));

  const route = () => location.href.replace(FRAGMENT, "");

  let here = route();

  const clean = (url) =>
    /^http/.test(url) ? url.replace(FRAGMENT, "").replace(/\/\/[^/?]*@/, "//").replace(/([?&][^=&]*)=[^&#]*/g,
      (pair, name) => SECRET.test(name) ? name + "=" : pair) : "";

  const address = () => {
    const lost = Object.values(campaign).filter((pair) => !location.search.includes(pair)).join("&");
    return clean(route().replace(/(?=#)|$/, lost && (location.search ? "&" : "?") + lost));
  };

  const save = safely(() => {
    if (clientId) localStorage.switchyard = JSON.stringify({ clientId, clickId, campaign, queue, at: Date.now() });
  });

  const put = (kind, fields) => {
    if (allowed === false || queue.length > (kind === "event" ? 99 : 49)) return;
    fields = { project: options.project, visit_id: visitId, click_id: clickId, ...fields };
    if (JSON.stringify(fields).length > 16000) throw RangeError("too long");
    queue.push({ kind, fields });
    flush();
  };

  const isHeld = () => !allowed || document.prerendering;
  const write = ({ fields }) => JSON.stringify({ client_id: clientId, ...fields });

  const post = async (item) => {
    let status = 999, pause;
    try {
      const answer = await fetch(endpoint + item.kind, {
        method: "POST", body: write(item), keepalive: true, credentials: "omit", signal: AbortSignal.timeout?.(3e4) });
      status = answer.status;
      pause = answer.headers.get("Retry-After") * 1000;
      const { visit_id, error } = await answer.json();
      if (error) warn(error.message);
      if (visit_id) {
        const ours = item.fields.visit_id;
        if (visitId === ours) visitId = visit_id;
        for (const { fields } of queue) if (fields.visit_id === ours) fields.visit_id = visit_id;
      }
    } catch {}
    const failed = status === 429 || status > 499;
    failures = failed ? failures + 1 : 0;
    return failed && (pause || 2 ** failures * 500) * (1 + Math.random() / 2);
  };

  const flush = async () => {
    if (busy || !queue[0] || isHeld()) return;
    busy = queue[0];
    const pause = await post(busy);
    if (!pause) queue = queue.filter((item) => item !== busy);
    save();
    busy = failures < 8;
    if (busy) setTimeout(() => {
      busy = 0;
      flush();
    }, pause);
  };

  // A beacon may get lost, so all of it stays: the same id counts once.
  const leave = () => {
    if (isHeld()) return;
    for (const item of queue) if (item !== busy)
      item.sent = item.sent || navigator.sendBeacon?.(endpoint + item.kind, write(item)) || post(item);
    save();
  };

  const begin = (referrer) => {
    for (const pair of location.search.match(CAMPAIGN) || []) campaign[pair.split("=")[0]] = pair;
    clickId = new URLSearchParams(location.search).get("click_id") || clickId;
    if (!auto.includes("visits")) return;
    visitId = newId();
    unseen = { url: address(), referrer: clean(referrer) };
  };

  const arrive = () => {
    if (!unseen || document.prerendering || document.visibilityState === "hidden") return;
    const fields = unseen;
    unseen = 0;
    put("visit", fields);
  };

  const moved = (how) => {
    const before = here;
    here = route();
    // A URL that only loses parameters is tidied.
    if (how === "replaceState" ? here.split(/[?&]/).some((part) => !before.split(/[?&]/).includes(part)) : here !== before)
      begin(before);
    arrive();
  };

  const clicked = (event) => {
    const find = (selector) => event.composedPath().find((node) => node.matches?.(selector));
    const link = find("a[href],area[href]");
    const web = clean(link?.href);
    if (web && clickId && allowed && options.forward && link.matches(options.forward) && !/[?&]click_id=/.test(link.search))
      link.search += (link.search && "&") + "click_id=" + encodeURIComponent(clickId);
    const element = (auto.includes("marked") && find("[data-switchyard-click]")) ||
      (auto.includes("outbound") && web && link.host !== location.host && link);
    if (element && event.button < 2) put("click", {
      id: newId(),
      target_url: web,
      element_type: element.dataset.switchyardClick || element.localName,
      element_text: element.textContent.trim().match(/^.{0,255}/su)[0],
      url: address(),
    });
  };

  const track = (event, fields) => {
    const id = fields?.id || fields?.[event + "_id"] || newId();
    put("event", { ...fields, event, id });
    return id;
  };

  const consent = (given) => {
    allowed = given === true || options.consent !== "required";
    if (!allowed) queue = [];
    clientId = given === true && !navigator.globalPrivacyControl ? clientId || newId() : "";
    flush();
    save();
    if (!clientId) delete localStorage.switchyard;
  };

  const pageChanged = ({ type, persisted }) => {
    if (type === "pageshow" && persisted) begin(document.referrer);
    arrive();
    if (type === "pagehide" || document.visibilityState === "hidden") leave();
    else flush();
  };

  const run = safely(([name, ...given]) => window.switchyard[name](...given));
  window.switchyard = { track: safely(track), consent: safely(consent), q: { push: run } };

  safely(() => {
    const kept = safely(() => JSON.parse(localStorage.switchyard || 0))();
    if (kept?.clientId) {
      ({ clientId } = kept);
      consent(true);
      if (clientId && Date.now() - kept.at < 864e5) ({ clickId, campaign = {}, queue = [] } = kept);
    }
    begin(document.referrer);
    early?.q?.forEach(run);
    arrive();
    flush();

    const on = (type, work) => addEventListener(type, safely(work), true);
    on("click", clicked);
    on("auxclick", clicked);
    for (const type of ["visibilitychange", "prerenderingchange", "pagehide", "pageshow"]) on(type, pageChanged);
    on("storage", () => clientId && !localStorage.switchyard && consent(false));
    if (options.spa === "off") return;
    on("popstate", moved);
    window.navigation?.addEventListener("currententrychange", safely((event) => moved(event.navigationType + "State")));
    for (const name of ["pushState", "replaceState"]) {
      const original = history[name];
      history[name] = (...given) => {
        const result = original.apply(history, given);
        safely(moved)(name);
        return result;
      };
    }
  })();
})();
