"""The same flows again: decided and masked anew under changed rules, and sent anew through the chain."""
