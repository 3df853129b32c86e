"""What a trained model is good for beside compressing, against the tool that people would otherwise use."""
