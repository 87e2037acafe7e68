#!/bin/sh
# Makes the clips of this folder from the originals named in SOURCES.md: sh make.sh FOLDER_WITH_THE_ORIGINALS
set -eu
bits="-fflags +bitexact -flags:v +bitexact -map_metadata -1"
ffmpeg -v error -y -t 2.4 -i "$1/bigbuckbunny_720p.mp4" -vf scale=320:180:flags=area -c:v libx264 -crf 14 -preset veryslow \
    -c:a aac -b:a 48k -ac 1 $bits -metadata title="Big Buck Bunny (excerpt)" bunny_320x180_audio.mp4
ffmpeg -v error -y -i "$1/hall_person_768x432_10fps.mkv" -vf scale=320:180:flags=area -frames:v 12 -c:v libx264 -crf 12 \
    -preset veryslow -an $bits hall_320x180.mkv
