"""What a caller may see: values are masked by field and by detection before anything else can look at them."""
