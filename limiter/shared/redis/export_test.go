package redis

var Changes = changes
