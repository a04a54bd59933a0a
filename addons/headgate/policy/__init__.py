"""What a caller may do: targets, rules and the one decision made from them."""
