# Beside it: git archive --prefix gfxbridge-0.1.0/ -o gfxbridge-0.1.0.tar.gz HEAD
class Gfxbridge < Formula
  desc "Picks and proves the right llama.cpp backend for this computer's GPU"
  url "file://#{__dir__}/gfxbridge-0.1.0.tar.gz"
  license "MIT"

  depends_on "meson" => :build
  depends_on "ninja" => :build
  depends_on "pkgconf" => :build
  depends_on "python@3.13" => :build
  depends_on "curl"
  depends_on "jansson"
  depends_on "libarchive"
  depends_on "libedit"
  depends_on "libseccomp"
  depends_on "libuv"
  depends_on :linux
  depends_on "openssl@3"
  depends_on "zlib"
  depends_on "zstd"

  def install
    system "meson", "setup", "build", "-Dtests=false", *std_meson_args
    system "meson", "compile", "-C", "build"
    system "meson", "install", "-C", "build"
  end

  test do
    assert_match "gfx1100", shell_output("#{bin}/gfxbridge explain 'RX 7900 XTX'")
  end
end
