package testsuite

import "testing"

// TestExamplePipelines runs the tests that the example pipelines declare.
func TestExamplePipelines(t *testing.T) { RunPipelineTests(t, "../pipelines/*.yaml") }
