package artefacts

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	apps "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

// The packed chart is that of the repository with the version of the release; `helm install` gets it as a file.
func TestChart(t *testing.T) {
	path := mustFind(t, "redis-observer-*.tgz")
	folder := t.TempDir()
	mustOutput(t, "tar", "-xzf", path, "-C", folder)
	for _, message := range lint.All(filepath.Join(folder, "redis-observer"), nil, "monitoring", true).Messages {
		assert.Less(t, message.Severity, support.WarningSev, message.Error())
	}
	packed, err := loader.Load(path)
	require.NoError(t, err)
	assert.Equal(t, mustVersion(t), packed.Metadata.Version)
	assert.Equal(t, mustVersion(t), packed.Metadata.AppVersion)
	for _, file := range packed.Raw {
		if file.Name != "Chart.yaml" {
			want, err := os.ReadFile(filepath.Join(root, "deploy/helm/redis-observer", file.Name))
			require.NoError(t, err)
			assert.Equal(t, string(want), string(file.Data), file.Name)
		}
	}
	source, err := loader.Load(root + "/deploy/helm/redis-observer")
	require.NoError(t, err)
	assert.Len(t, packed.Templates, len(source.Templates))

	install := action.NewInstall(new(action.Configuration))
	install.DryRun, install.ClientOnly, install.ReleaseName, install.Namespace = true, true, "redis-observer", "redis-observer"
	install.KubeVersion = &chartutil.KubeVersion{Version: "v1.30.0", Major: "1", Minor: "30"}
	release, err := install.Run(packed, nil)
	require.NoError(t, err)
	for document := range bytes.SplitSeq([]byte(release.Manifest), []byte("\n---\n")) {
		if bytes.Contains(document, []byte("kind: DaemonSet")) {
			set := &apps.DaemonSet{}
			require.NoError(t, yaml.UnmarshalStrict(document, set))
			assert.Equal(t, "ghcr.io/redis-observer/redis-observer:"+mustVersion(t), set.Spec.Template.Spec.Containers[0].Image)
			return
		}
	}
	assert.Fail(t, "no DaemonSet")
}
