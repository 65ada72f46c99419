"""Azure Blob Storage: objects are block blobs, parts are blocks. ``store`` needs the extra ``azure``."""
