"""The fourth zoo: networks as strangers write them, well or wrong as public reports have it. Looked at once."""
