# In a checkout: nix-build dist/packages
{ pkgs ? import <nixpkgs> { } }:

pkgs.stdenv.mkDerivation {
  pname = "gfxbridge";
  version = "0.1.0";
  src = ../..;

  nativeBuildInputs = with pkgs; [ meson ninja pkg-config python3 ];
  buildInputs = with pkgs; [
    curl
    jansson
    libarchive
    libedit
    libseccomp
    libuv
    openssl
    zlib
    zstd
  ];

  postPatch = "patchShebangs tools";
  mesonFlags = [ "-Dtests=false" ];
  doInstallCheck = true;
  installCheckPhase = "$out/bin/gfxbridge table check";

  meta = {
    description = "Picks and proves the right llama.cpp backend for this computer's GPU";
    license = pkgs.lib.licenses.mit;
    platforms = [ "x86_64-linux" ];
    mainProgram = "gfxbridge";
  };
}
