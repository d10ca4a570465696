# A static binary in an empty image, run as nobody. Mount the configuration at
# /etc/penstock and, for the embedded store and state files (name them there by their
# whole path), a volume at /var/lib/penstock.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /out/penstock ./cmd/penstock && mkdir -p /out/lib

FROM scratch
COPY --from=build /out/penstock /penstock
COPY --from=build --chown=65532:65532 /out/lib /var/lib/penstock
USER 65532:65532
WORKDIR /var/lib/penstock
EXPOSE 8080 9900
ENTRYPOINT ["/penstock"]
CMD ["run", "-config", "/etc/penstock/penstock.yaml"]
