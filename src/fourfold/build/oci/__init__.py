"""Container images: layers unpacked safely, references pulled and pushed, images of artifacts written."""
