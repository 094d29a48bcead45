# Packs orders: asks every INTERVAL seconds what is new, and says so. No port; nothing but Ruby itself.
require "json"
require "net/http"

$stdout.sync = true
ORDERS = URI(ENV.fetch("ORDERS_URL"))
INTERVAL = Float(ENV.fetch("INTERVAL", "2"))

# SIGTERM closes the pipe's end that we sleep on: the order in hand is packed, then we leave.
woken, wake = IO.pipe
stopping = false
%w[TERM INT].each { |name| trap(name) { stopping = true; wake.close unless wake.closed? } }

def orders
  answer = Net::HTTP.start(ORDERS.host, ORDERS.port, open_timeout: 2, read_timeout: 5) { |http| http.get("/") }
  raise "orders answered #{answer.code}" unless answer.code == "200"
  JSON.parse(answer.body)
end

packed = 0
trouble = nil
puts "worker: packing orders from #{ORDERS}"
until stopping
  begin
    waiting = orders.drop(packed)
    waiting.each { |order| puts "worker: packed order #{order["id"]}: #{order["quantity"]} x #{order["sku"]}" }
    packed += waiting.length
    puts "worker: orders can be reached again" if trouble
    trouble = nil
  rescue StandardError => error
    warn "worker: cannot ask for orders: #{error.message}" unless trouble == error.message
    trouble = error.message
  end
  woken.wait_readable(INTERVAL)
end
puts "worker: done, #{packed} orders packed"
