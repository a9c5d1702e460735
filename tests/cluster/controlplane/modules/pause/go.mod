// What holds a Pod's namespaces open: the node of the end-to-end tests has no registry to get one from.
module treadle.dev/controlplane/pause

go 1.26.0
