"""Events as AWS Lambda gives them to functions, made of what sources tell: pure; tests have strict models of them."""
