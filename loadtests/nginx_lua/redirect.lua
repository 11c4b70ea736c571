-- The work of Switchyard's edge, in nginx with LuaJIT: what `./switchyard bench edge` compares with.
--
-- Does, per request: link from an LRU cache (a change in Redis is seen within a second), country from
-- nginx's own radix tree, choice by weight, sticky first-party cookie unless Sec-GPC is set, visitor's
-- query forwarded without what the destination sets itself, macros filled in, UUIDv7, prefetch mark,
-- counters, 302 with Cache-Control: no-store. Clicks are gathered in memory and shipped to a Redis
-- stream in chunks with a CRC-32, many events in one XADD, from a timer.
--
-- Does not: a journal. What is gathered dies with the worker (`kill -9`, power), and so does what a
-- Redis that goes away had not handed on. Nor geo rules, winners, fingerprints, trusted proxies, HEAD
-- apart from GET: none of them is used by the link that is measured.

local ffi = require "ffi"
local lrucache = require "resty.lrucache"

local C, concat, find, floor, format = ffi.C, table.concat, string.find, math.floor, string.format
local random, sub = math.random, string.sub
local ngx, var, null = ngx, ngx.var, ngx.null

local LINKS = 50000 -- compiled links, as many as the edge keeps
local LINK_TTL_S = 1
local SHIP_S = 0.02
local EVENTS_PER_CHUNK = 1000
local GATHERED_MAX = 500000 -- some 150 MB; then 503, as the edge does when its journal is full
local CHUNKS_KEPT = 300 -- some 75 MB; nobody reads this stream
local COOKIE_AGE_S = 7776000

local redis_host, redis_port, redis_password
local links = assert(lrucache.new(LINKS))
local gathered, gathered_count, sequence, is_shipping = {}, 0, 0, false
local served, unknown, prefetched, refused = 0, 0, 0, 0
local journal_id

-- --- ids -------------------------------------------------------------------------------------

ffi.cdef "int RAND_bytes(unsigned char *buffer, int count);"
local POOL = 3072
local pool, pool_used = ffi.new("uint32_t[?]", POOL), POOL

-- A UUIDv7 as text. Random words come from OpenSSL, a thousand ids' worth at a time.
local function new_id()
   if pool_used == POOL then
      assert(C.RAND_bytes(ffi.cast("unsigned char *", pool), POOL * 4) == 1)
      pool_used = 0
   end
   local a, b, c = pool[pool_used], pool[pool_used + 1], pool[pool_used + 2]
   pool_used = pool_used + 3
   local ms = floor(ngx.now() * 1000)
   return format("%08x-%04x-7%03x-%04x-%04x%08x", floor(ms / 65536), ms % 65536,
      a % 4096, 32768 + floor(a / 4096) % 16384, b % 65536, c)
end

-- --- Redis -----------------------------------------------------------------------------------

local function command(...)
   local words = { ... }
   local out = { "*", #words, "\r\n" }
   for _, word in ipairs(words) do
      word = tostring(word)
      out[#out + 1] = "$" .. #word .. "\r\n" .. word .. "\r\n"
   end
   return concat(out)
end

-- One reply: a string, or null; nil and the reason when it is an error.
local function read_reply(socket)
   local line, fault = socket:receive("*l")
   if not line then return nil, fault end
   local kind, rest = sub(line, 1, 1), sub(line, 2)
   if kind == "-" then return nil, rest end
   if kind ~= "$" then return rest end
   local size = tonumber(rest)
   if size < 0 then return null end
   local value
   value, fault = socket:receive(size + 2)
   return value and sub(value, 1, size), fault
end

-- Send commands in one go; give the last reply. Connections are kept and used again.
local function ask(commands)
   local socket = ngx.socket.tcp()
   socket:settimeouts(1000, 1000, 1000)
   local ok, fault = socket:connect(redis_host, redis_port)
   if not ok then return nil, fault end
   if redis_password ~= "" and socket:getreusedtimes() == 0 then
      table.insert(commands, 1, command("AUTH", redis_password))
   end
   ok, fault = socket:send(commands)
   if not ok then return nil, fault end
   local reply
   for _ = 1, #commands do
      reply, fault = read_reply(socket)
      if not reply then return nil, fault end
   end
   socket:setkeepalive(60000, 16)
   return reply
end

-- --- links -----------------------------------------------------------------------------------

local MACROS = { click_id = true, country = true, timestamp = true }

-- Take a destination apart, so that a click only puts it together.
local function compile_variant(slug, line)
   local id, label, weight, url = line:match("^(%x+)\t([^\t]*)\t(%d+)\t(.+)$")
   local base, fragment = url:match("^([^#]*)(.*)$")
   local own_names = {}
   for name in (base:match("%?(.*)$") or ""):gmatch("([^&=]+)=?[^&]*") do own_names[#own_names + 1] = name end
   local parts, from = {}, 1
   for first, name, last in base:gmatch("(){([%w_]+)}()") do
      if MACROS[name] then
         parts[#parts + 1] = sub(base, from, first - 1)
         parts[#parts + 1] = { name }
         from = last
      end
   end
   parts[#parts + 1] = sub(base, from)
   return {
      id = id, label = label, weight = tonumber(weight), parts = parts, fragment = fragment,
      own_names = own_names, joint = find(base, "?", 1, true) and "&" or "?",
      cookie = format("sy_%s=%s; Path=/%s; Max-Age=%d; HttpOnly; SameSite=Lax", slug, id, slug, COOKIE_AGE_S),
   }
end

-- A link's value: a line with its own fields, then a line for each variant.
local function compile_link(slug, value)
   local lines = {}
   for line in value:gmatch("[^\n]+") do lines[#lines + 1] = line end
   local tenant_id, link_id, version = lines[1]:match("^(%x+)\t(%x+)\t(%d+)$")
   local link = { head = tenant_id .. "\0" .. link_id .. "\0", version = version, cookie = "cookie_sy_" .. slug,
      variants = {} }
   for number = 2, #lines do link.variants[number - 1] = compile_variant(slug, lines[number]) end
   return link
end

local function load_link(slug)
   local value, fault = ask({ command("GET", "lua:link:" .. slug) })
   if not value then return nil, fault end
   if value == null then return nil end
   local link = compile_link(slug, value)
   links:set(slug, link, LINK_TTL_S)
   return link
end

-- --- a click ---------------------------------------------------------------------------------

local function choose(link, pinned)
   local variants = link.variants
   if pinned then
      for number = 1, #variants do
         local variant = variants[number]
         if variant.id == pinned and variant.weight > 0 then return variant, "sticky" end
      end
   end
   local point = random() * 100
   for number = 1, #variants do
      point = point - variants[number].weight
      if point < 0 then return variants[number], "weight" end
   end
   return variants[#variants], "weight"
end

-- The visitor's query without the parameters that the destination sets itself.
local function forward(query, own_names)
   local may_repeat = find(query, "%", 1, true) or find(query, "+", 1, true)
   for number = 1, #own_names do
      may_repeat = may_repeat or find(query, own_names[number], 1, true)
   end
   if not may_repeat then return query end
   local kept = {}
   for pair in query:gmatch("[^&]+") do
      local name, is_own = ngx.unescape_uri(pair:match("^[^=]*")), false
      for number = 1, #own_names do is_own = is_own or own_names[number] == name end
      if not is_own then kept[#kept + 1] = pair end
   end
   return concat(kept, "&")
end

local function locate(variant, query, click_id, country)
   local parts, url = variant.parts, ""
   for number = 1, #parts do
      local part = parts[number]
      if type(part) == "string" then url = url .. part
      elseif part[1] == "click_id" then url = url .. click_id
      elseif part[1] == "country" then url = url .. country
      else url = url .. floor(ngx.now())
      end
   end
   if query ~= "" then query = forward(query, variant.own_names) end
   if query == "" then return url .. variant.fragment end
   return url .. variant.joint .. query .. variant.fragment
end

local function is_prefetch()
   local purpose = var.http_sec_purpose or var.http_purpose or var.http_x_moz
   if not purpose then return false end
   purpose = purpose:lower()
   return (find(purpose, "prefetch", 1, true) or find(purpose, "preview", 1, true)
      or find(purpose, "prerender", 1, true)) ~= nil
end

local function refuse(status, sentence)
   ngx.status = status
   ngx.header["Cache-Control"] = "no-store"
   ngx.print(sentence)
end

-- --- shipping --------------------------------------------------------------------------------

local function ship()
   if is_shipping or gathered_count == 0 then return end
   is_shipping = true
   local events, count, commands = gathered, gathered_count, {}
   gathered, gathered_count = {}, 0
   for first = 1, count, EVENTS_PER_CHUNK do
      local last = math.min(first + EVENTS_PER_CHUNK - 1, count)
      local body = concat(events, "\n", first, last)
      sequence = sequence + 1
      commands[#commands + 1] = command("XADD", "lua:events", "MAXLEN", "~", CHUNKS_KEPT, "*", "j", journal_id,
         "s", sequence, "n", last - first + 1, "c", ngx.crc32_long(body), "b", body)
   end
   local _, fault = ask(commands)
   if fault then
      ngx.log(ngx.ERR, "clicks wait: ", fault)
      for number = 1, gathered_count do events[count + number] = gathered[number] end
      gathered, gathered_count = events, count + gathered_count
   end
   local counters = ngx.shared.counters
   counters:set("served", served)
   counters:set("unknown", unknown)
   counters:set("prefetch", prefetched)
   counters:set("refused", refused)
   is_shipping = false
end

-- --- what nginx.conf calls ----------------------------------------------------------------------

local redirect = {}

function redirect.start(host, port, password)
   redis_host, redis_port, redis_password = host, port, password
   math.randomseed(ngx.time() + ngx.worker.pid())
   journal_id = new_id()
   assert(ngx.timer.every(SHIP_S, ship))
end

function redirect.answer()
   local slug = sub(var.uri, 2)
   local link, fault = links:get(slug), nil
   if not link then
      link, fault = load_link(slug)
      if not link then
         if fault then refused = refused + 1 return refuse(503, "Links cannot be looked up right now.\n") end
         unknown = unknown + 1
         return refuse(404, "There is no such link.\n")
      end
   end
   if gathered_count >= GATHERED_MAX then
      refused = refused + 1
      return refuse(503, "Clicks cannot be recorded right now.\n")
   end
   local uses_cookie = var.http_sec_gpc ~= "1"
   local pinned = uses_cookie and var.http_cookie and var[link.cookie]
   local variant, reason = choose(link, pinned)
   local click_id, country, query, ahead = new_id(), var.country, var.args or "", is_prefetch()
   gathered_count = gathered_count + 1
   gathered[gathered_count] = click_id .. "\0" .. link.head .. variant.id .. "\0" .. link.version .. "\0"
      .. reason .. "\0" .. var.remote_addr .. "\0" .. country .. "\0" .. sub(var.http_referer or "", 1, 2048)
      .. "\0" .. sub(var.http_user_agent or "", 1, 1024) .. "\0" .. sub(query, 1, 4096) .. "\0"
      .. (ahead and "1" or "0")
   served = served + 1
   if ahead then prefetched = prefetched + 1 end
   local header = ngx.header
   ngx.status = 302
   header["Location"] = locate(variant, query, click_id, country)
   header["Cache-Control"] = "no-store"
   header["Content-Length"] = 0
   if uses_cookie and variant.id ~= pinned then header["Set-Cookie"] = variant.cookie end
end

return redirect
