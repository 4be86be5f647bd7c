"""What several methods share: unit maps of heads, layer maps. No module here is a method."""
