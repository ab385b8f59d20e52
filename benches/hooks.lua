-- Behind the table `all` that benches/hooks.rs writes.
local round, threads = os.getenv("ROUND"), 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

local heads, sent = {}, 0

function init()
  math.randomseed(os.time() * 64 + number)
  for i, one in ipairs(all) do
    heads[i] = "POST " .. wrk.path .. " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: GitHub-Hookshot/044aadd\r\nContent-Type: application/json\r\n"
      .. "X-GitHub-Event: " .. one.event .. "\r\nX-Hub-Signature-256: " .. one.signature .. "\r\nContent-Length: " .. #one.body .. "\r\nX-GitHub-Delivery: "
  end
end

function request()
  sent = sent + 1
  local i = sent % #all + 1
  -- GitHub's are random from their beginning.
  return heads[i] .. string.format("%08x-", math.random(0, 0x7fffffff)) .. round .. "-" .. number .. "-" .. sent .. "\r\n\r\n" .. all[i].body
end

function done(summary, latency)
  local others = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  print(string.format("seen %.1f %.1f %.1f %d %d", summary.requests / summary.duration * 1e6, latency:percentile(50), latency:percentile(99),
    summary.requests - summary.errors.status, others))
end
