"""What computes a reader's layers: onnxruntime, numpy or torch, behind one interface; see ``choice`` for which."""
