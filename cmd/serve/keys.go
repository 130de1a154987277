package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"fovea/internal/apikey"
	"fovea/internal/cli"
	"fovea/internal/config"

	"github.com/spf13/cobra"
)

// lockTimeout bounds how long a command waits for another that changes the file of keys.
const lockTimeout = 10 * time.Second

func keysCommand() *cobra.Command {
	c := &cobra.Command{Use: "keys", Short: "Make API keys", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(newKeyCommand())
	return c
}

func newKeyCommand() *cobra.Command {
	k, asJSON := apikey.Key{}, false
	c := &cobra.Command{
		Use:   "new NAME",
		Short: "Make an API key, print it, and add its hash to the file of http.keys; a running server accepts it within seconds",
		Long: "Make an API key, print it, and add its hash to the file of http.keys; a running server accepts it within seconds.\n\n" +
			"The key is printed once and stored nowhere. Without http.keys, the entry for the file is printed as well.\n" +
			"To revoke a key, remove its entry.",
		Example: "  serve keys new camera-1 --http.keys=keys.yaml --models=efficientnet-lite0 --rate=20\n" +
			"  serve keys new prometheus --http.keys=keys.yaml --scopes=models",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := configured(c)
			if err != nil {
				return err
			}
			ctx, stop := cli.WithSignals(c.Context())
			defer stop()
			k.Name = args[0]
			return newKey(ctx, cfg.HTTP.Access.Keys, k, asJSON, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	flags := c.Flags()
	flags.BoolVar(&asJSON, "json", false, "print the key with its name and hash as JSON")
	flags.StringSliceVar(&k.Scopes, "scopes", []string{string(apikey.Predict), string(apikey.Models)}, "what the key allows: predict, models (descriptions and metrics), admin (loading and unloading)")
	flags.StringSliceVar(&k.Models, "models", nil, "models that it may use; none: all")
	flags.Float64Var(&k.Rate, "rate", 0, "maximum requests per second; 0: http.rate.limit")
	flags.IntVar(&k.Burst, "burst", 0, "maximum requests at once; 0: those of a second, at least one")
	flags.IntVar(&k.Concurrent, "concurrent", 0, "maximum requests in flight; 0: no limit")
	return c
}

// newKey writes the key itself to out, and what to know about it to notes, so that the output can go to a file.
func newKey(ctx context.Context, file string, k apikey.Key, asJSON bool, out, notes io.Writer) error {
	secret := apikey.New()
	k.Hash = apikey.Hash(secret)
	if _, err := apikey.Parse([]byte("keys:\n"+k.Entry()), ""); err != nil {
		return keyError(err)
	}
	if file == "" {
		_, _ = fmt.Fprintf(notes, "the entry for the list keys in the file of http.keys:\n%s", k.Entry())
	} else {
		ctx, cancel := context.WithTimeout(ctx, lockTimeout)
		defer cancel()
		if err := apikey.Add(ctx, file, k); err != nil {
			return fmt.Errorf("http.keys: %w", err)
		}
		_, _ = fmt.Fprintf(notes, "added %s to %s; its key, which is stored nowhere:\n", k.Name, file)
	}
	if asJSON {
		return cli.JSON(out, struct {
			Name string `json:"name"`
			Key  string `json:"key"`
			Hash string `json:"hash"`
			File string `json:"file,omitempty"`
		}{k.Name, secret, k.Hash, file})
	}
	_, err := fmt.Fprintln(out, secret)
	return err
}

// keyError names what is wrong with an entry by the command's arguments.
func keyError(err error) error {
	var all config.Errors
	if !errors.As(err, &all) {
		return err
	}
	var errs []error
	for _, one := range all {
		name := strings.TrimPrefix(one.Key, "keys[0].")
		if name != "name" {
			name = "--" + name
		}
		errs = append(errs, fmt.Errorf("%s: %s", name, one.Message))
	}
	return errors.Join(errs...)
}
