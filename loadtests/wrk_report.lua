-- For wrk: sends what a browser sends, and prints one run as loadtests/load_client.py's LoadResult.
-- Arguments after "--": headers, each "Name: value", and "slugs=<file>" with a slug a line, which are
-- then visited in turn with the query of the URL.

function init(args)
   local slugs
   for _, argument in ipairs(args) do
      local name, value = argument:match("^([^:]+): (.*)$")
      if name then wrk.headers[name] = value end
      slugs = slugs or argument:match("^slugs=(.*)$")
   end
   if slugs then visit(slugs) end
end

function visit(file)
   local visited, number = {}, 0
   for slug in io.lines(file) do visited[#visited + 1] = slug end
   local head = wrk.format()
   local query = head:find("[? ]", 6) -- behind the path
   local before, after = "GET /", head:sub(query)
   function request()
      number = number % #visited + 1
      return before .. visited[number] .. after
   end
end

function done(summary, latency, requests)
   local refused = summary.errors.status
   local lost = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
   local statuses = string.format('"302":%d', summary.requests - refused)
   if refused > 0 then statuses = statuses .. string.format(',"400 or more":%d', refused) end
   if lost > 0 then statuses = statuses .. string.format(',"lost":%d', lost) end
   io.write(string.format(
      '\n{"seconds":%f,"requests":%d,"statuses":{%s},"p50_ms":%f,"p99_ms":%f,"p999_ms":%f}\n',
      summary.duration / 1e6, summary.requests, statuses,
      latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency:percentile(99.9) / 1e3))
end
