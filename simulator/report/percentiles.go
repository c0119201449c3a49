package report

import hdr "github.com/HdrHistogram/hdrhistogram-go"

// Percentiles of a distribution. All are 0 where there was nothing to measure.
type Percentiles struct {
	Count int64   `json:"count"`
	Min   float64 `json:"min"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
	Bars  []Bar   `json:"bars,omitempty"`
}

// Bar is a part of the distribution.
type Bar struct {
	From  float64 `json:"from"`
	To    float64 `json:"to"`
	Count int64   `json:"count"`
}

const (
	hdrMax    = 1 << 50
	hdrDigits = 3
	bars      = 24
)

// PercentilesOf are those of whole numbers.
func PercentilesOf(values []int64) Percentiles {
	f := make([]float64, len(values))
	for i, v := range values {
		f[i] = float64(v)
	}
	return percentiles(f, 1)
}

// percentiles measures values in steps of 1/scale.
func percentiles(values []float64, scale float64) Percentiles {
	if len(values) == 0 {
		return Percentiles{}
	}
	h := hdr.New(1, hdrMax, hdrDigits)
	for _, v := range values {
		_ = h.RecordValue(min(max(int64(v*scale+0.5), 0), hdrMax)) // within the bounds it cannot fail
	}
	at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / scale }
	p := Percentiles{Count: h.TotalCount(), Min: float64(h.Min()) / scale, P50: at(50), P90: at(90), P99: at(99), Max: float64(h.Max()) / scale}
	p.Bars = make([]Bar, bars)
	width := max((p.Max-p.Min)/bars, 1/scale)
	for i := range p.Bars {
		p.Bars[i] = Bar{From: p.Min + float64(i)*width, To: p.Min + float64(i+1)*width}
	}
	for _, v := range values {
		p.Bars[min(max(int((v-p.Min)/width), 0), bars-1)].Count++
	}
	return p
}
