"""The S4D network in torch: poles, layers, and the classifier made of them."""
