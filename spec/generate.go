package spec

//go:generate go run ./generate

// Generated are the files that are made from the language's definition, by their path in the repository.
func Generated() map[string][]byte {
	return map[string][]byte{
		"schema/pipeline.schema.json": PipelineSchema(),
		"schema/project.schema.json":  ProjectSchema(),
		"docs/reference/pipeline.md":  PipelineReference(),
		"docs/reference/project.md":   ProjectReference(),
	}
}
