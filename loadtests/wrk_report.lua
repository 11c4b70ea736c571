-- For wrk: sends what a browser sends, and prints one run as loadtests/load_client.py's LoadResult.
-- Headers come as arguments after "--", each "Name: value".

function init(args)
   for _, header in ipairs(args) do
      local name, value = header:match("^([^:]+): (.*)$")
      wrk.headers[name] = value
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
