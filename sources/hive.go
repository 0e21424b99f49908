package sources

import (
	"net/url"
	"strings"
)

// hiveNull is how Hive and Spark spell a null in a folder's name.
const hiveNull = "__HIVE_DEFAULT_PARTITION__"

// hiveParts are the key=value folders of a path.
func hiveParts(uri string) map[string]string {
	parts := map[string]string{}
	for _, part := range hiveOrder(uri) {
		parts[part[0]] = part[1]
	}
	return parts
}

// hiveOrder are the key=value folders of a path in its order; Spark escapes them once more within the path.
func hiveOrder(uri string) (parts [][2]string) {
	if u, err := url.Parse(uri); err == nil {
		uri = u.Path
	}
	folders := strings.Split(uri, "/")
	for _, folder := range folders[:len(folders)-1] {
		key, value, ok := strings.Cut(folder, "=")
		if !ok || key == "" {
			continue
		}
		parts = append(parts, [2]string{unescape(key), unescape(value)})
	}
	return parts
}

func unescape(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

// hiveValue is the text of a folder's value, nil for null.
func hiveValue(value string) []byte {
	if value == hiveNull {
		return nil
	}
	return []byte(value)
}
