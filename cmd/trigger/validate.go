package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"github.com/varve-lake/varve/activities"
	"github.com/varve-lake/varve/internal/environment"
	"github.com/varve-lake/varve/spec"
	"github.com/varve-lake/varve/workflows"
)

func newValidate(g *global) *cobra.Command {
	var parameters []string
	c := &cobra.Command{
		Use:   "validate [FILE...]",
		Short: "Check pipeline files (default: all of the folder) against the language, the data and the lake",
		Long: "validate says all that is wrong with pipeline files. A file whose parameters have no default is checked against the\n" +
			"language alone, unless --parameter gives them values: what it reads is not known.",
		RunE: func(c *cobra.Command, args []string) error {
			values, err := parseParameters(parameters)
			if err != nil {
				return err
			}
			files := args
			if len(files) == 0 {
				env, err := environment.Load(g.env)
				if err != nil {
					return err
				}
				if files, err = pipelineFiles(env.Pipelines); err != nil {
					return err
				}
			}
			return validateAll(c, g, files, values)
		},
	}
	c.Flags().StringArrayVarP(&parameters, "parameter", "p", nil, "name=value; may be given again")
	return c
}

// pipelineFiles lists the *.yaml and *.yml files of a folder, sorted.
func pipelineFiles(dir string) ([]string, error) {
	var out []string
	for _, pattern := range []string{"*.yaml", "*.yml"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	if len(out) == 0 {
		return nil, codedError{fmt.Errorf("no pipelines (*.yaml) in %s", dir), exitMistake}
	}
	sort.Strings(out)
	return out, nil
}

// verdict is what validate says of a file.
type verdict struct {
	File        string           `json:"file"`
	OK          bool             `json:"ok"`
	Unset       []string         `json:"unset,omitempty"` // parameters without a value: only the language was checked
	Diagnostics spec.Diagnostics `json:"diagnostics,omitempty"`
}

func (v verdict) String() string {
	if len(v.Unset) > 0 {
		return fmt.Sprintf("%s: ok as far as can be told without --parameter %s=...", v.File, strings.Join(v.Unset, "=... --parameter "))
	}
	return v.File + ": ok"
}

func validateAll(c *cobra.Command, g *global, files []string, values workflows.Parameters) error {
	verdicts := make([]verdict, len(files))
	failed := false
	for i, file := range files {
		v, err := validate(c, *g, file, values, len(files) > 1)
		if err != nil {
			return err
		}
		verdicts[i] = v
		failed = failed || !v.OK
		if g.json {
			continue
		}
		if len(v.Diagnostics) > 0 {
			fmt.Fprintln(c.ErrOrStderr(), v.Diagnostics.Error())
		}
		if v.OK {
			fmt.Fprintln(c.OutOrStdout(), v)
		}
	}
	if g.json {
		if err := printJSON(c.OutOrStdout(), verdicts); err != nil {
			return err
		}
	}
	if failed {
		return silentError{exitMistake}
	}
	return nil
}

// validate checks one file. Of several files, each takes the values of the parameters that it has.
func validate(c *cobra.Command, g global, file string, values workflows.Parameters, several bool) (verdict, error) {
	v := verdict{File: relative(file)}
	name, err := usePipelineFile(&g, file)
	if err != nil {
		return v, err
	}
	data, err := os.ReadFile(filepath.Join(g.env.Pipelines, filepath.Base(file)))
	if err != nil {
		return v, err
	}
	all := values
	if several {
		all = nil
	}
	p, found := spec.Decode(v.File, data, spec.DecodeOptions{Parameters: all, AllowUnset: true})
	if v.Diagnostics = found; p == nil {
		return v, nil
	}
	mine := workflows.Parameters{}
	for _, parameter := range p.Parameters {
		value, given := values[parameter.Name.Value]
		if given {
			mine[parameter.Name.Value] = value
		} else if parameter.Default == nil {
			v.Unset = append(v.Unset, parameter.Name.Value)
		}
	}
	if v.OK = true; len(v.Unset) > 0 {
		return v, nil
	}
	err = withActivities(c.Context(), &g, func(a *activities.Activities) error {
		_, v.Diagnostics = a.Plan(c.Context(), name, mine)
		return v.Diagnostics.Err()
	})
	v.OK = err == nil
	if errors.As(err, new(spec.Diagnostics)) {
		err = nil
	}
	return v, err
}
