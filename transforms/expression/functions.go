package expression

// FunctionDoc describes a function or an operator of the expression language.
type FunctionDoc struct {
	Name      string
	Group     string // of the reference's sections: comparison, text, dates...
	Signature string
	Doc       string
	Example   string
}

// Functions lists the functions and operators of the language, by group and name.
func Functions() []FunctionDoc { return nil }
