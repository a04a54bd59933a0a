"""What operators and upstreams ask the proxy about itself, over HTTP, beside the traffic that it guards."""
