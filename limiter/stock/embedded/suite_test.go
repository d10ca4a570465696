package embedded_test

import (
	"testing"

	"penstock/limiter/stock"
	"penstock/limiter/stock/stocktest"
)

func TestEmbedded(t *testing.T) {
	stocktest.Run(t, func(t testing.TB) stock.Store { return open(t, file(t)) })
}
